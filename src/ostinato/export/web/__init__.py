"""Networks as WebAssembly: the module, the JavaScript class that runs it, and a page in which it runs."""

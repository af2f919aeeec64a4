"""Code generation: LLVM IR built from Python, vector instructions, math functions, the argument block of a kernel."""

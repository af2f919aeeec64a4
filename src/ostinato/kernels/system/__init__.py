"""What the machine provides: instruction sets, the compiler and its cache, the OpenMP thread team, the memory pool."""

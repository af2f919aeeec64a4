"""System services: instruction sets, the compiler and its cache, the OpenMP thread team, the memory pool."""

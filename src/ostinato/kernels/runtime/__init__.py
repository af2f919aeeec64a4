"""The code of every call: tensor checks, the cached launch plan, the launch; and standalone kernels."""

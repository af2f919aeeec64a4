"""What runs at every call: tensor checks, the cached launch plan, the launch, and kernels that stand alone."""

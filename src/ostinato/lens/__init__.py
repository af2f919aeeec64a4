"""What happens inside a recurrent network, measured. `ostinato.lens.pictures` draws it, and needs matplotlib."""

from .reach import GradientByLag, gradient_by_lag

__all__ = ["GradientByLag", "gradient_by_lag"]

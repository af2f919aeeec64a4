"""Through time: truncated backpropagation along streams that never fit in memory."""

from .truncated import TruncatedBPTT

__all__ = ["TruncatedBPTT"]

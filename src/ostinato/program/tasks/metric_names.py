"""The names of metrics in words, and which of them are shares."""

PERCENT = (
    "accuracy", "macro_f1", "micro_f1", "exact_match", "span_f1", "tag_accuracy", "known_accuracy", "unknown_accuracy",
)  # fmt: skip
"""Metrics that are shares; they are shown in percent, their differences in points."""


def title_of(metric: str) -> str:
    """accuracy, macro F1, mean absolute error: a metric's name in words."""
    if metric.startswith("perplexity_per_"):
        return f"{metric.replace('_', ' ')} (e to the nats)"
    words = {"mae": "mean absolute error", "rmse": "root mean squared error", "r2": "R²", "ece": "calibration error"}
    return words.get(metric, metric.replace("_f1", " F1").replace("_", " "))

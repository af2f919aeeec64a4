"""The names of metrics in words, and which of them are shares."""

PERCENT = (
    "accuracy", "macro_f1", "micro_f1", "exact_match", "span_f1", "tag_accuracy", "known_accuracy", "unknown_accuracy",
    "accuracy_within_five", "cer", "wer", "frame_accuracy",
)  # fmt: skip
"""Metrics that are shares; they are shown in percent, their differences in points."""
_WORDS = {
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "bleu": "BLEU",
    "chrf": "chrF",
    "ece": "calibration error",
    "quantile_loss": "mean quantile loss",
    "crps": "CRPS",
    "sql": "SQL",
    "wql": "WQL",
    "mase": "MASE",
    "mase_of_last_value": "MASE of the last value",
    "mase_of_seasonal_naive": "MASE of the season before",
    "smape": "sMAPE",
    "cer": "character error rate",
    "wer": "word error rate",
    "scaled_mse": "scaled MSE",
    "scaled_mae": "scaled MAE",
    "nats_per_frame_of_pieces": "nats per frame, the mean of pieces",
}
COVERAGE = "coverage_"
_OF_BANDS = {COVERAGE: "coverage", "width_": "width", "interval_score_": "interval score"}
"""Metrics of a forecast's bands; the band's percent follows."""


def is_share(metric: str) -> bool:
    """Whether a metric is shown in percent."""
    return metric in PERCENT or metric.startswith(COVERAGE)


def title_of(metric: str) -> str:
    """accuracy, macro F1, mean absolute error: a metric's name in words."""
    if metric.startswith("perplexity_per_"):
        return f"{metric.replace('_', ' ')} (e to the nats)"
    for begin, words in _OF_BANDS.items():
        if metric.startswith(begin):
            return f"{words} of {metric.removeprefix(begin)} % bands"
    return _WORDS.get(metric, metric.replace("_f1", " F1").replace("_", " "))

"""Predictions to numbers."""

from dermolib.metrics.weighted_accuracy import (
    CHALLENGE_TEST_COUNTS,
    WeightedAccuracy,
    class_weights,
    weighted_accuracy,
)

__all__ = ["CHALLENGE_TEST_COUNTS", "WeightedAccuracy", "class_weights", "weighted_accuracy"]

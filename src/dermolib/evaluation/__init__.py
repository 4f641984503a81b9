"""A fitted model to a judgement."""

from dermolib.evaluation.intervals import Interval, bootstrap_interval

__all__ = ["Interval", "bootstrap_interval"]

from .weighted_accuracy import CHALLENGE_TEST_COUNTS as CHALLENGE_TEST_COUNTS

__all__: list[str]

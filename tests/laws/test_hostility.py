"""Law of all calls that read files back: after any change of a file, the same result or a refusal.

``python tests/rereading.py 1000`` tries a thousand changes on each call, for an hour by hand, and
prints how many came to which end.
"""

import pytest

from rereading import SUBJECTS, try_many


@pytest.mark.parametrize(
    "changes", [60, pytest.param(400, marks=pytest.mark.slow)]
)  # a minute of CPU time for all calls together, and six
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_changed_file_gives_the_same_result_or_one_sentence_and_costs_no_file(
    name: str, changes: int
) -> None:
    trials = try_many(name, changes, random=False)

    assert len(trials) * SUBJECTS[name].cost >= changes // 2
    assert [trial for trial in trials if trial.fault] == []

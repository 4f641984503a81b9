"""What functions on arrays say of their memory holds at 8,000 pixels.

The peak is that of a process of its own, since OpenCV's memory is not Python's.
"""

import inspect
import re
import sys

import pytest

import dermolib
from dermolib import auditing, io, preprocessing
from input_parts.measuring import in_fresh_process
from large_table import audited
from memory import CALLS, measure

SIDE = 8000
FIXED = 64 << 20  # bytes: networks, tables and what libraries keep


def stated(name: str) -> int:
    """Read the bytes per pixel of a call in its function's docstring, of its fill where named."""
    function = name.partition(",")[0]
    owner = next(
        room for room in (dermolib, io, auditing, preprocessing) if hasattr(room, function)
    )
    text = " ".join((inspect.getdoc(getattr(owner, function)) or "").split())
    found = re.search(
        r"Memory: about (\d+) bytes? per pixel(?:[^.]*?``\"navier_stokes\"`` (\d+))?", text
    )
    assert found, f"{function} does not state its memory"
    slow = "telea" in name or "navier" in name
    return int(found[2] if slow else found[1])


@pytest.mark.slow  # a process and an image of 192 MB for each
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read in /proc")
@pytest.mark.parametrize(
    "name",
    [name for name in CALLS if not name.startswith(("border_", "is_", "preset", "plot"))],
)
def test_the_memory_that_a_function_states_is_enough_at_8000_px(name: str) -> None:
    size, _ = in_fresh_process(measure, name, SIDE, SIDE)

    assert size <= stated(name) + FIXED / SIDE**2


@pytest.mark.slow  # a million rows
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read in /proc")
@pytest.mark.parametrize("lesions", ["half as many", "own", "one"])
def test_an_audit_of_a_million_rows_takes_less_than_a_gigabyte(lesions: str) -> None:
    _, memory, lines = in_fresh_process(audited, 1_000_000, lesions)

    assert memory < 1000
    assert lines < 150

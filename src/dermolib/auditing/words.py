"""Words of an audit: names of findings, numbers, lists, and texts from files made safe."""

from collections.abc import Iterable, Sequence

__all__ = ["FINDINGS", "USUAL_FINDINGS", "WIDTH", "aligned", "images", "percent", "plain", "some"]

FINDINGS: tuple[str, ...] = (
    "leaks", "conflicts", "duplicates", "files", "rows", "metadata", "shift",
)  # fmt: skip
"""What an audit can be made to fail on."""

USUAL_FINDINGS: tuple[str, ...] = FINDINGS[:5]
"""Findings that fail an audit by default: every fault, and nothing that may be intended."""

WIDTH = 100
"""Columns of the page."""

_LONGEST = 40


def plain(text: object, most: int = _LONGEST) -> str:
    """Make a text fit for a page: no control characters, which may move a cursor, and not long."""
    shown = "".join(one if one.isprintable() else "?" for one in str(text))
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def images(count: int) -> str:
    """Word a number of images."""
    return f"{count:,} image{'s' if count != 1 else ''}"


def percent(count: int, total: int) -> str:
    """Word a share in percent, so that neither a trace becomes nothing nor a gap is closed."""
    if not total or count in (0, total):
        return f"{100 if total and count else 0} %"
    return f"{min(max(100 * count / total, 0.1), 99.9):.1f} %"


def some(texts: Iterable[str], *, most: int = 5) -> str:
    """Name the first few of many."""
    texts = list(texts)
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return f"{', '.join(texts[:most])}{more}"


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Set rows of cells in columns: the first ones to the left, the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return lines

"""What became of the images of a folder, counted and in words."""

from dataclasses import dataclass, field
from pathlib import Path

from dermolib.preprocessing.folders.ledger import Record

__all__ = ["FolderReport", "Tally"]

_NAMED = 100  # failures that a report names; the table has all


@dataclass(frozen=True)
class FolderReport:
    """What became of the images of a folder; as text, a summary of a few lines.

    Attributes:
        cleaned: Images from which hair was removed in this run.
        unchanged: Images in which this run found no hair.
        skipped: Images that an earlier run had done.
        failed: Images that could not be read or cleaned.
        failures: The first 100 of these, each with the reason; the table has all.
        excluded: Images that a pattern left out.
        ignored: Files that are no images, or hidden.
        orphaned: Images that an earlier run did and that are no longer in the source; their clean
            images stay, without a row in the table.
        mean_share: Mean share of masked pixels over all clean images, 0..1, nan where there is
            none.
        max_share: The largest such share.
        csv: Path of the table.
        contact_sheet: Path of the contact sheet, None where there is none.
    """

    cleaned: int
    unchanged: int
    skipped: int
    failed: int
    failures: tuple[tuple[str, str], ...]
    excluded: int
    ignored: int
    orphaned: int
    mean_share: float
    max_share: float
    csv: Path
    contact_sheet: Path | None

    @property
    def done(self) -> int:
        """Images that this run cleaned or found without hair."""
        return self.cleaned + self.unchanged

    def __str__(self) -> str:
        """Sum up in two to six lines."""
        lines = [
            f"Images: {self.cleaned:,} cleaned, {self.unchanged:,} without hair, "
            f"{self.skipped:,} done before, {self.failed:,} failed.",
        ]
        if self.done or self.skipped:
            shares = f"{self.mean_share:.2%} of an image on average, {self.max_share:.2%} at most"
            lines.append(f"Masked: {shares}.")
        if self.excluded or self.ignored:
            files = f"{self.excluded:,} by their names, {self.ignored:,} that are no images"
            lines.append(f"Left out: {files}.")
        if self.orphaned:
            lines.append(f"Clean images whose source is gone: {self.orphaned:,}.")
        if self.failed:
            more = f" (and {self.failed - 1:,} more in the table)" if self.failed > 1 else ""
            lines.append(f"Failed: {': '.join(self.failures[0])}{more}")
        sheet = "" if self.contact_sheet is None else f", contact sheet: {self.contact_sheet}"
        return "\n".join([*lines, f"Table: {self.csv}{sheet}"])


@dataclass
class Tally:
    """Counts of a run while it goes on.

    Attributes:
        cleaned: Images from which hair was removed.
        unchanged: Images without hair.
        failed: Images that could not be read or cleaned.
        failures: The first 100 of these, each with the reason.
    """

    cleaned: int = 0
    unchanged: int = 0
    failed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def count(self, record: Record) -> None:
        """Count what became of one image."""
        if not record.done:
            self.failed += 1
            if len(self.failures) < _NAMED:
                self.failures.append((record.file, record.error))
        elif record.share_masked > 0:
            self.cleaned += 1
        else:
            self.unchanged += 1

"""Columns of text in two arrays, for what worker processes read again and again."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PackedTexts"]


class PackedTexts:
    """Texts (N,) as the bytes of all of them and where each begins.

    A worker process that reads a text of a list writes to the memory where it lies (it counts who
    holds it), so that the system copies that memory for each worker, page after page. These arrays
    stay shared, and hold a text in its bytes and eight more.

    Args:
        texts: Texts in order.

    Examples:
        >>> texts = PackedTexts(["ISIC_1", "", "é"])
        >>> len(texts), texts[2], texts[-3]
        (3, 'é', 'ISIC_1')
    """

    def __init__(self, texts: Sequence[str] | npt.NDArray[np.object_]) -> None:
        """Pack the texts."""
        parts: list[Any] = np.asarray(texts, object).tolist()
        if not (joined := "".join(parts)).isascii():  # a byte for each letter, else
            parts = [text.encode("utf-8", "surrogateescape") for text in parts]
        content = joined.encode() if joined.isascii() else b"".join(parts)
        self._ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        self._bytes: npt.NDArray[np.uint8] = np.frombuffer(content, np.uint8)

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        """Return a text.

        Args:
            index: Its number, or negative from the end.

        Returns:
            The text.

        Raises:
            IndexError: There is no such text.
        """
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        start, end = self._ends[number : number + 2]
        return self._bytes[start:end].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        """Give the texts in order."""
        return (self[number] for number in range(len(self)))

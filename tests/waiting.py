"""A call that waits for ever is ended."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Hang(BaseException):
    """A call did not end; nothing that catches an `Exception` takes it for one of its own."""


@contextmanager
def at_once(seconds: int) -> Iterator[None]:
    """Raise `Hang` in a call that is not over after some seconds."""

    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)

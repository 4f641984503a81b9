"""Work that waits for others, in threads that an interrupted process does not wait for."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["in_threads"]

_JOIN = 1.0  # s that all threads get to end; one that waits for a silent server does nothing more
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_threads(
    function: Callable[[_Item], _Result],
    items: Sequence[_Item],
    *,
    workers: int,
    stop: threading.Event,
) -> list[_Result]:
    """Call a function on many items in threads; the first error ends all.

    Args:
        function: Called in any thread; it ends early when `stop` is set.
        items: Its arguments.
        workers: Number of threads.
        stop: Set at the end, after an error or Ctrl-C too.

    Returns:
        What each call returned, in the order of the items.
    """
    todo: queue.SimpleQueue[tuple[int, _Item]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Callable[[], _Result]]] = queue.SimpleQueue()
    for entry in enumerate(items):
        todo.put(entry)

    def work() -> None:
        while not stop.is_set():
            try:
                number, item = todo.get_nowait()
            except queue.Empty:
                return
            done.put((number, _outcome(function, item)))

    # Daemons, so that a silent server does not keep a process that was interrupted
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    try:
        outcomes = (done.get() for _ in items)
        results = {number: outcome() for number, outcome in outcomes}
    finally:
        stop.set()
        end = time.monotonic() + _JOIN
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0))
    return [results[number] for number in range(len(items))]


def _outcome(function: Callable[[_Item], _Result], item: _Item) -> Callable[[], _Result]:
    try:
        result = function(item)
    except BaseException as error:  # raised again where the caller waits
        failure = error

        def fail() -> _Result:
            raise failure

        return fail
    return lambda: result

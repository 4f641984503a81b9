"""Kill downloads at each point at which they change something on the disk, and go on.

Run as ``python killing_downloads.py FOLDER``, in a process of its own, since it forks and hears of
all that Python opens. It prints how many points there were, and fails where one did harm.
"""

import io
import itertools
import os
import signal
import sys
import zipfile
from pathlib import Path
from typing import Any

from dermolib.datasets.download.collections import Archive, Collection
from dermolib.datasets.download.fetch import Patience
from dermolib.datasets.download.part import Part
from dermolib.datasets.download.run import download
from fetch_server import Server, serving

EVENTS = {"open", "os.remove", "os.rename", "os.mkdir", "os.rmdir"}


def files_of(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder but the lock and the notes, which name times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {".lock", "downloads.json"}
    }


def arm(folder: Path, point: int) -> None:
    """Let the process kill itself after some changes of files in a folder, also within a block."""
    left = iter(range(point))
    append = Part.append

    def tick() -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or not str(arguments[0]).startswith(str(folder)):
            return
        if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR):
            tick()

    def append_halves(self: Part, block: bytes) -> None:
        append(self, block[: len(block) // 2])
        tick()
        append(self, block[len(block) // 2 :])

    sys.addaudithook(hear)
    setattr(Part, "append", append_halves)  # noqa: B010 - of a process that ends soon


def collection(server: Server) -> Collection:
    """Put an archive with a folder inside and a table on a server."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(3):
            archive.writestr(f"Input/{number}.jpg", bytes([number]) * 500)
    contents = {"Input.zip": buffer.getvalue(), "Table.csv": b"a,b\n" * 50}
    files = tuple(
        Archive(name, "all", (server.put(name, content),)) for name, content in contents.items()
    )
    return Collection("own", "", "", "", "", files)


def get(own: Collection, folder: Path) -> None:
    """Fetch it; one file after the other, so that the points are the same each time."""
    download(own, folder, workers=1, progress=False, patience=Patience(attempts=2, pause=0))


def killed(folder: Path, point: int, own: Collection) -> bool:
    """Fetch in a process that is killed at a point; False where there are not so many."""
    child = os.fork()
    if child == 0:
        arm(folder, point)
        get(own, folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0
        return False
    assert os.WTERMSIG(status) == signal.SIGKILL
    return True


def main(folder: Path) -> None:
    """Kill at each point in turn, and look at what the next call makes of it."""
    with serving() as server:
        own = collection(server)
        get(own, folder / "whole")
        wanted = files_of(folder / "whole")
        for point in itertools.count():
            target = folder / str(point)
            more = killed(target, point, own)
            for name in ("Input", "Table.csv"):  # what is in its place is whole
                there = {key for key in files_of(target) if Path(key).parts[0] == name}
                assert all(files_of(target)[key] == wanted[key] for key in there), point
                assert there in (set(), {key for key in wanted if Path(key).parts[0] == name})
            get(own, target)
            assert files_of(target) == wanted, point
            if not more:
                print(point)  # noqa: T201 - for the test that runs this
                return


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""The layer picture of docs/architecture.md, drawn from the code's own imports."""

import tomllib
from pathlib import Path

import grimp
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).parents[1]
HIDDEN = {"__main__", "_lazy"}  # one line each, and known by every package
SHARED = ("labels", "io", "_jobs", "_validation")  # every room may import these: no arrows
_WIDTH, _HEIGHT, _STEP = 1.7, 0.55, 1.25


def layers() -> list[list[str]]:
    """Read the rooms of each layer, top first, from the contract that `nox -s lint` checks."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rows = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    split = [[room.strip() for room in row.split("|")] for row in rows]
    hidden = {*HIDDEN, *SHARED}
    return [kept for row in split if (kept := [room for room in row if room not in hidden])]


def imports_between(rooms: list[str]) -> dict[tuple[str, str], int]:
    """Count, for each pair of rooms, the imports of modules of the one by modules of the other."""
    graph = grimp.build_graph("dermolib", cache_dir=None)
    inside = {
        room: {f"dermolib.{room}", *graph.find_descendants(f"dermolib.{room}")} for room in rooms
    }
    room_of = {module: room for room, modules in inside.items() for module in modules}
    counts: dict[tuple[str, str], int] = {}
    for module, room in room_of.items():
        for imported in graph.find_modules_directly_imported_by(module):
            other = room_of.get(imported, room)
            if other != room:
                counts[room, other] = counts.get((room, other), 0) + 1
    return counts


def draw_layers(path: Path) -> None:
    """Draw each room as a box in its layer, with arrows of its color to what it imports from."""
    rows = layers()
    counts = imports_between([room for row in rows for room in row])
    places = {}
    for level, row in enumerate(rows):
        for column, room in enumerate(row):
            # Layers of one room alternate in place, so that arrows do not hide behind boxes
            shift = (-1.3, 1.3)[level % 2] if len(row) == 1 and level else 0.0
            places[room] = ((column - (len(row) - 1) / 2) * 2.9 + shift, -level * _STEP)
    bottom = -len(rows) * _STEP
    colors = {room: f"C{number}" for number, room in enumerate(places)}
    figure, ax = plt.subplots(figsize=(9, 0.95 * len(rows) + 1))
    for (room, other), count in counts.items():
        (x, y), (to_x, to_y) = places[room], places[other]
        bend = 0.0 if y - to_y <= _STEP else 0.12 * (1 if to_x > x else -1)
        arrow = FancyArrowPatch(
            (x, y - _HEIGHT / 2 - 0.05),
            (to_x, to_y + _HEIGHT / 2 + 0.05),
            arrowstyle="-|>",
            mutation_scale=11,
            connectionstyle=f"arc3,rad={bend}",
            linewidth=0.8 + min(count, 20) / 8,
            color=colors[room],
        )
        ax.add_patch(arrow)
    for column, room in enumerate(SHARED):
        places[room] = ((column - (len(SHARED) - 1) / 2) * 2.1, bottom)
    for room, (x, y) in places.items():
        corner = (x - _WIDTH / 2, y - _HEIGHT / 2)
        face = "#eeeeee" if room in SHARED else "white"
        box = FancyBboxPatch(corner, _WIDTH, _HEIGHT, boxstyle="round,pad=0.05", facecolor=face)
        box.set(edgecolor=colors.get(room, "black"), linewidth=1.5)
        ax.add_patch(box)
        ax.text(x, y, room, ha="center", va="center", fontsize=11)
    ax.text(0, bottom + 0.5, "every room may import these", ha="center", fontsize=9, style="italic")
    ax.set_xlim(-4.4, 4.4)
    ax.set_ylim(bottom - 0.5, 0.5)
    ax.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)

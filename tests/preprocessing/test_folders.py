"""Hair removal for folders: the files, the table, what is done again, and every refusal."""

import csv
import inspect
import math
import os
import re
import shutil
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dermolib import occlusion_removal, prepare, remove_hair_from_folder
from dermolib._validation import DatasetNotFoundError, Image
from dermolib.datasets.synthetic import draw_hair
from dermolib.io import SUFFIXES, list_images, read_image, read_mask, write_image, write_mask
from dermolib.preprocessing import FolderReport, folders
from drawing import write_any
from resumable import forge
from snapshots import snapshot

IMAGES = ["a.jpg", "bare.jpg", "scan.tif", "sub/B.PNG", "sub/deep/c.bmp"]
OUTPUTS = ["a.jpg", "bare.jpg", "scan.png", "sub/B.PNG", "sub/deep/c.png"]
COLUMNS = ["file", "output", "height", "width", "masked_fraction", "error"]
EMPTY = np.zeros((48, 64), np.bool_)


def bare(seed: int) -> Image:
    """Draw smooth skin."""
    columns = np.linspace(190, 215, 64) + seed
    grey = np.linspace(0, 8, 48)[:, None] + columns
    return np.stack([grey, grey * 0.8, grey * 0.7], axis=2).astype(np.uint8)


def hairy(seed: int) -> Image:
    image = bare(seed)
    image[:, 20 + seed] = 40
    return image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write three images with hair and two without, in five formats, beside what is no image."""
    root = tmp_path / "in"
    drawn = [hairy(0), bare(1), bare(2), hairy(3), hairy(4)]
    for file, image in zip(IMAGES, drawn, strict=True):
        write = write_any if file.endswith(("f", "p")) else write_image
        write(root / file, image)
    write_mask(root / "a_seg.png", ~EMPTY)
    (root / "notes.txt").write_text("no image")
    (root / ".a.jpg").write_text("left by a system")
    return root


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run(source: Path, destination: Path, **options: Any) -> FolderReport:
    """Clean without a progress bar, by the method that the drawings are made for."""
    return remove_hair_from_folder(
        source, destination, **{"method": "luv", "progress": False, **options}
    )


def table(report: FolderReport) -> list[dict[str, str]]:
    with report.csv.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_as_if_new(source: Path, out: Path, **options: Any) -> None:
    """Compare a folder with one of a single run."""
    run(source, out.with_name("fresh"), **options)
    assert snapshot(out).data == snapshot(out.with_name("fresh")).data


def test_every_image_gets_its_clean_file_at_the_same_path(source: Path, out: Path) -> None:
    before = snapshot(source)

    report = run(source, out)

    assert set(snapshot(out).data) == {*OUTPUTS, "hair.csv", "hair.jsonl"}
    assert snapshot(source) == before
    counts = (report.cleaned, report.unchanged, report.skipped, report.failed)
    assert counts == (3, 2, 0, 0)
    assert (report.done, report.excluded, report.ignored, report.orphaned) == (5, 1, 2, 0)
    assert (report.failures, report.contact_sheet, report.csv) == ((), None, out / "hair.csv")


def test_the_table_has_one_row_for_each_image_sorted_by_path(source: Path, out: Path) -> None:
    report = run(source, out, masks=out / "masks")

    rows = table(report)
    assert list(rows[0]) == COLUMNS
    assert [row["file"] for row in rows] == IMAGES
    assert [row["output"] for row in rows] == OUTPUTS
    assert {(row["height"], row["width"], row["error"]) for row in rows} == {("48", "64", "")}
    fractions = [float(row["masked_fraction"]) for row in rows]
    masks = [read_mask(out / "masks" / Path(file).with_suffix(".png")) for file in IMAGES]
    assert fractions == pytest.approx([mask.mean() for mask in masks], abs=1e-6)
    assert [fraction > 0 for fraction in fractions] == [True, False, False, True, True]
    assert report.mean_masked_fraction == pytest.approx(np.mean(fractions), abs=1e-6)
    assert report.max_masked_fraction == pytest.approx(max(fractions), abs=1e-6)


def test_a_clean_file_holds_what_removing_hair_from_the_image_gives(
    tmp_path: Path, out: Path
) -> None:
    generator = np.random.default_rng(7)
    skin = np.full((96, 128, 3), (205, 165, 150), np.uint8)
    options: dict[str, Any] = {"method": "luv", "radius": 7, "low": 6.0}
    images = [draw_hair(skin, density=0.08, generator=generator)[0] for _ in range(3)]
    for number, image in enumerate(images):
        write_image(tmp_path / "in" / f"{number}.png", image)
        write_image(tmp_path / "in" / f"{number}.jpg", image)

    run(tmp_path / "in", out, quality=80, **options)
    run(tmp_path / "in", tmp_path / "masked", exclude=["*.png"], masks=tmp_path / "m", **options)

    found = 0
    for path in sorted((tmp_path / "in").iterdir()):
        clean, mask = occlusion_removal(read_image(path), return_mask=True, **options)
        found += bool(mask.any())
        write_image(tmp_path / "wanted" / path.name, clean, quality=80)
        wanted = (tmp_path / "wanted" / path.name).read_bytes()
        # Where no hair is found, a file is copied
        assert not mask.any() or (out / path.name).read_bytes() == wanted
        if path.suffix == ".jpg":
            np.testing.assert_array_equal(read_mask(tmp_path / "m" / f"{path.stem}.png"), mask)
    assert found >= 2


def test_an_image_without_hair_is_copied_byte_for_byte_where_its_format_stays(
    source: Path, out: Path
) -> None:
    write_any(source / "alpha.png", np.dstack([bare(5), np.full((48, 64), 90, np.uint8)]))

    run(source, out)

    for name in ("bare.jpg", "alpha.png"):
        assert (out / name).read_bytes() == (source / name).read_bytes()
    np.testing.assert_array_equal(read_image(out / "scan.png"), bare(2))


def test_png_throughout_keeps_pixels_outside_the_mask_bit_identical(
    source: Path, tmp_path: Path, out: Path
) -> None:
    run(source, out, suffix=".png", masks=tmp_path / "masks")

    for file in ("a.jpg", "sub/B.PNG", "sub/deep/c.bmp"):
        target = Path(file).with_suffix(".png")
        mask = read_mask(tmp_path / "masks" / target)
        image, clean = read_image(source / file), read_image(out / target)
        assert (image[mask] != clean[mask]).any()
        np.testing.assert_array_equal(image[~mask], clean[~mask])


def test_the_ending_of_all_images_can_be_chosen(source: Path, out: Path) -> None:
    run(source, out, suffix=".jpeg", exclude=["*.tif"])

    wanted = {"a.jpeg", "a_seg.jpeg", "bare.jpeg", "sub/B.jpeg", "sub/deep/c.jpeg"}
    assert {name for name in snapshot(out).data if not name.startswith("hair.")} == wanted
    assert (out / "bare.jpeg").read_bytes() == (source / "bare.jpg").read_bytes()


def test_a_second_call_finds_everything_done_and_touches_no_image(source: Path, out: Path) -> None:
    first = run(source, out, masks=out / "masks", radius=5)
    before = snapshot(out)

    report = run(source, out, masks=out / "masks", radius=np.float32(5.0))

    after = snapshot(out)
    assert (report.done, report.skipped, report.failed) == (0, 5, 0)
    assert report.mean_masked_fraction == first.mean_masked_fraction
    assert report.max_masked_fraction == first.max_masked_fraction
    assert after.data == before.data
    images = {name for name in after.data if not name.startswith("hair.")}
    assert len(images) == 10
    assert all(after.written[name] == before.written[name] for name in images)


CHANGES: dict[str, Callable[[Path, Path], Any]] = {
    "another source": lambda source, _: write_image(source / "a.jpg", hairy(9)),
    "another time": lambda source, _: os.utime(source / "a.jpg", ns=(1, 1)),
    "no output": lambda _, out: (out / "a.jpg").unlink(),
    "an empty output": lambda _, out: (out / "a.jpg").write_bytes(b""),
    "no mask": lambda _, out: (out / "masks" / "a.png").unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_done_again_and_nothing_else(
    source: Path, out: Path, change: str
) -> None:
    run(source, out, masks=out / "masks")
    before = snapshot(out)
    CHANGES[change](source, out)

    report = run(source, out, masks=out / "masks")

    assert (report.cleaned, report.unchanged, report.skipped) == (1, 0, 4)
    after = snapshot(out)
    assert {name for name in OUTPUTS if after.written[name] != before.written[name]} == {"a.jpg"}
    assert_as_if_new(source, out, masks=out.with_name("fresh") / "masks")


def flip(path: Path) -> None:
    """Flip a bit of a file, whose size and time of change stay."""
    state, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def link(path: Path, target: Path) -> None:
    path.unlink()
    path.symlink_to(target)


def swap(one: Path, other: Path) -> None:
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


EDITS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a bit of an image": ("a.jpg", lambda out: flip(out / "a.jpg")),
    "a bit of a mask": ("masks/a.png", lambda out: flip(out / "masks" / "a.png")),
    "an image cut short": ("a.jpg", lambda out: os.truncate(out / "a.jpg", 99)),
    "a link that leads nowhere": ("a.jpg", lambda out: link(out / "a.jpg", out / "nothing")),
    "a link in a circle": ("a.jpg", lambda out: link(out / "a.jpg", out / "a.jpg")),
    "an image retouched by hand": ("a.jpg", lambda out: write_image(out / "a.jpg", bare(9))),
    "two images swapped": ("a.jpg, *.*scan.png", lambda out: swap(out / "a.jpg", out / "scan.png")),
    "the table": ("hair.csv", lambda out: (out / "hair.csv").write_text("my notes")),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_others_changed_is_refused_until_it_is_moved_away(
    source: Path, out: Path, edit: str
) -> None:
    options: dict[str, Any] = {"masks": out / "masks"}
    run(source, out, **options)
    names, change = EDITS[edit]
    change(out)
    before = snapshot(out)
    write_image(source / "sub" / "B.PNG", hairy(7))  # a source that changed takes nothing along

    for overwrite in (False, True):
        with pytest.raises(ValueError, match=rf"changed since \({out}/{names}\)\. Move them away"):
            run(source, out, overwrite=overwrite, **options)
    assert snapshot(out) == before

    for name in names.split(", *.*"):
        (out / name).rename(out.with_name(Path(name).name))
    run(source, out, **options)
    assert_as_if_new(source, out, masks=out.with_name("fresh") / "masks")


def test_a_file_that_a_user_puts_in_the_place_of_a_failed_image_stays(
    source: Path, out: Path
) -> None:
    (source / "a.jpg").write_bytes(b"")
    run(source, out)
    (out / "a.jpg").write_bytes(b"by hand")

    with pytest.raises(ValueError, match=r"1 that no run wrote \(.*a\.jpg\)\. Move them away, or"):
        run(source, out)

    assert (out / "a.jpg").read_bytes() == b"by hand"


def test_a_file_of_other_settings_that_a_user_changed_stays(source: Path, out: Path) -> None:
    run(source, out, suffix=".png")
    (out / "bare.png").write_bytes(b"by hand")

    run(source, out, overwrite=True)

    assert (out / "bare.png").read_bytes() == b"by hand"
    assert not (out / "a.png").exists()


def test_new_images_join_and_images_that_are_gone_leave_the_table(source: Path, out: Path) -> None:
    run(source, out)
    (source / "a.jpg").unlink()
    write_image(source / "new.png", hairy(6))

    report = run(source, out)

    assert (report.cleaned, report.skipped, report.orphaned) == (1, 4, 1)
    assert [row["file"] for row in table(report)] == sorted([*IMAGES[1:], "new.png"])
    assert (out / "a.jpg").exists()
    write_image(source / "a.jpg", hairy(0))
    assert run(source, out).orphaned == 0


def test_a_run_that_was_stopped_keeps_what_is_done(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, image: Image, *, quality: int) -> None:
        if path.name == "B.PNG":
            raise OSError(28, "No space left on device")
        write_image(path, image, quality=quality)

    with monkeypatch.context() as patch:
        patch.setattr(folders, "write_image", full)
        with pytest.raises(OSError, match="what is finished is kept"):
            run(source, out)
    before = snapshot(out)
    assert "hair.csv" not in before.data

    assert run(source, out).skipped == 3

    after = snapshot(out)
    assert all(after.written[name] == before.written[name] for name in OUTPUTS[:3])
    assert_as_if_new(source, out)


def test_halves_are_cleared_and_other_hidden_files_stay(
    source: Path, tmp_path: Path, out: Path
) -> None:
    kept = [".a-0123456789ab.txt", ".other-0123456789ab.jpg", ".a-0123.jpg", "sub/.keep-me"]
    gone = [".a-0123456789ab.jpg", "sub/.B-0123456789ab.PNG", ".hair-0123456789ab.csv"]
    for name in [*kept, *gone, "../masks/.bare-0123456789ab.png"]:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"half")

    run(source, out, masks=tmp_path / "masks")

    assert {name for name in snapshot(out).data if "/." in f"/{name}"} == set(kept)
    assert not [name for name in snapshot(tmp_path / "masks").data if name.startswith(".")]


@pytest.mark.parametrize(
    ("options", "differ"),
    [
        ({"quality": 80}, "quality 95 there, 80 here"),
        ({"suffix": ".jpg"}, "suffix None there, '.jpg' here"),
        ({"masks": "masks"}, "masks None there, 'masks' here"),
        ({"radius": 6}, "arguments {'method': 'luv'} there, {'method': 'luv', 'radius': 6.0} here"),
    ],
)
def test_other_settings_are_named_and_everything_is_made_again_on_request(
    source: Path, out: Path, options: dict[str, Any], differ: str
) -> None:
    def given(folder: Path) -> dict[str, Any]:
        return options | ({"masks": folder / "masks"} if "masks" in options else {})

    run(source, out)
    with pytest.raises(ValueError, match=re.escape(f"of another run ({differ}). Choose another")):
        run(source, out, **given(out))

    report = run(source, out, overwrite=True, **given(out))

    assert (report.done, report.skipped) == (5, 0)
    assert_as_if_new(source, out, **given(out.with_name("fresh")))


def test_what_other_settings_made_is_not_done_when_its_source_comes_back(
    source: Path, tmp_path: Path, out: Path
) -> None:
    run(source, out)
    (source / "a.jpg").rename(tmp_path / "a.jpg")
    run(source, out, quality=70, overwrite=True)
    shutil.move(tmp_path / "a.jpg", source)

    report = run(source, out, quality=70)

    assert (report.done, report.skipped, report.orphaned) == (1, 4, 0)
    assert_as_if_new(source, out, quality=70)


def test_making_again_with_the_same_settings_does_everything_again(source: Path, out: Path) -> None:
    run(source, out)
    before = snapshot(out)

    report = run(source, out, overwrite=True)

    after = snapshot(out)
    assert (report.done, report.skipped) == (5, 0)
    assert after.data == before.data
    assert all(after.written[name] != before.written[name] for name in OUTPUTS)


def test_nothing_is_deleted_on_the_word_of_a_changed_journal(source: Path, out: Path) -> None:
    run(source, out)
    precious, journal = out.with_name("precious.png"), out / "hair.jsonl"
    precious.write_bytes(b"precious")
    is_a = {"output": "a.jpg"}.items()
    forge(journal, lambda line: is_a <= line.items() and {**line, "output": "../precious.png"})
    (out / "a.jpg").unlink()

    run(source, out, overwrite=True)

    assert precious.read_bytes() == b"precious"


def write_broken(source: Path) -> dict[str, str]:
    """Add files that cannot be cleaned, and say why by name."""
    (source / "zero.png").write_bytes(b"")
    (source / "text.jpg").write_text("no image")
    (source / "cut.jpg").write_bytes((source / "a.jpg").read_bytes()[:600])
    (source / "link.png").symlink_to(source / "nothing.png")
    bomb = bytearray((source / "sub" / "B.PNG").read_bytes())
    bomb[16:24] = (50_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")  # checksum of the header
    (source / "sub" / "bomb.png").write_bytes(bytes(bomb))
    write_image(source / "tiny.png", np.full((1, 1, 3), 200, np.uint8))
    os.mkfifo(source / "pipe.png")
    return {
        "cut.jpg": "Expected `cut.jpg` to be a readable image file, but got .*",
        "link.png": r"\[Errno 2\] No such file or directory: 'link\.png'",
        "pipe.png": r"Expected `pipe\.png` to be a file, but got a named pipe\.",
        "sub/bomb.png": "Expected `sub/bomb.png` to be an image of at most 89,478,485 pixels, .*",
        "text.jpg": "Expected `text.jpg` to be an image file, but got 8 bytes that no .*",
        "tiny.png": "Expected `image` to be at least 3 px on each side .*",
        "zero.png": "Expected `zero.png` to be an image file, but got 0 bytes that no .*",
    }


def test_broken_images_are_recorded_with_their_reasons_and_the_others_are_done(
    source: Path, out: Path
) -> None:
    reasons = write_broken(source)

    report = run(source, out, masks=out / "masks")

    assert (report.done, report.failed) == (5, len(reasons))
    assert [file for file, _ in report.failures] == sorted(reasons)
    rows = {row["file"]: row for row in table(report)}
    assert sorted(rows) == sorted([*IMAGES, *reasons])
    for file, reason in report.failures:
        assert re.fullmatch(reasons[file], reason)
        assert rows[file] == dict.fromkeys(COLUMNS, "") | {"file": file, "error": reason}
        assert not (out / file).exists()
    wanted = {Path(name).with_suffix(".png").as_posix() for name in OUTPUTS}
    assert set(snapshot(out / "masks").data) == wanted


def test_an_image_that_broke_loses_its_files_and_is_tried_again(source: Path, out: Path) -> None:
    run(source, out, masks=out / "masks")
    (source / "a.jpg").write_bytes(b"")

    report = run(source, out, masks=out / "masks")

    assert (report.skipped, report.failed) == (4, 1)
    assert not (out / "a.jpg").exists()
    assert not (out / "masks" / "a.png").exists()
    write_image(source / "a.jpg", hairy(8))
    report = run(source, out, masks=out / "masks")
    assert (report.cleaned, report.skipped, report.failed) == (1, 4, 0)
    assert (out / "a.jpg").exists()


def test_an_image_that_needs_too_much_memory_is_recorded(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @wraps(occlusion_removal)
    def removal(image: Image, **_: Any) -> Any:
        if image.shape == (7, 9, 3):
            raise MemoryError
        return image, np.zeros(image.shape[:2], np.bool_)

    write_image(source / "large.png", np.full((7, 9, 3), 3, np.uint8))
    monkeypatch.setattr(folders, "occlusion_removal", removal)

    assert run(source, out).failures == (("large.png", "MemoryError"),)


def test_the_first_broken_image_can_stop_the_run(source: Path, out: Path) -> None:
    (source / "bare.jpg").write_bytes(b"")
    (source / "sub" / "B.PNG").write_bytes(b"")

    with pytest.raises(ValueError, match=r"^Expected `bare\.jpg` to be an image file, but got 0 b"):
        run(source, out, errors="raise")

    assert (out / "a.jpg").exists()
    assert not (out / "hair.csv").exists()
    report = run(source, out)
    assert (report.skipped, report.failed) == (1, 2)


def test_a_name_whose_bytes_are_no_text_is_kept(tmp_path: Path, out: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_image(tmp_path / "in" / name, hairy(0))

    report = run(tmp_path / "in", out, contact_sheet=tmp_path / "sheet.png")

    assert (out / name).exists()
    assert b'\n"caf\xe9.png","caf\xe9.png",48,64,' in report.csv.read_bytes()
    assert run(tmp_path / "in", out).skipped == 1


def test_the_contact_sheet_shows_images_and_replaces_an_earlier_one(
    source: Path, out: Path
) -> None:
    sheet, other = out / "sheet.png", out.with_name("other") / "sheet.png"
    assert run(source, out, contact_sheet=sheet).contact_sheet == sheet
    five = sheet.read_bytes()

    run(source, out, contact_sheet=sheet, exclude=["a*"])

    assert sheet.read_bytes() != five
    run(source, other.parent, contact_sheet=other)
    assert other.read_bytes() == five


def test_a_link_in_the_place_of_the_contact_sheet_is_not_followed(source: Path, out: Path) -> None:
    sheet, target = out / "sheet.png", out.with_name("of_the_user.png")
    run(source, out, contact_sheet=sheet)
    drawn = sheet.read_bytes()
    sheet.rename(target)
    sheet.symlink_to(target)

    run(source, out, contact_sheet=sheet, exclude=["a*"])

    assert target.read_bytes() == drawn
    assert not sheet.is_symlink()
    for make in (partial(os.symlink, sheet), os.mkfifo):
        sheet.unlink()
        make(sheet)
        with pytest.raises(ValueError, match=r"a new file or an earlier contact sheet, but got"):
            run(source, out, contact_sheet=sheet)


def test_a_folder_of_which_nothing_can_be_read_gets_a_table_and_no_contact_sheet(
    tmp_path: Path, out: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"")

    report = run(tmp_path / "in", out, contact_sheet=tmp_path / "sheet.png")

    assert (report.done, report.failed, report.contact_sheet) == (0, 1, None)
    assert math.isnan(report.mean_masked_fraction)
    assert math.isnan(report.max_masked_fraction)
    assert not (tmp_path / "sheet.png").exists()
    assert len(table(report)) == 1


def test_the_report_in_words_says_what_happened_in_a_few_lines() -> None:
    report = FolderReport(
        cleaned=1_200,
        unchanged=30,
        skipped=4,
        failed=2,
        failures=(("a.jpg", "Reason."), ("b.jpg", "Other.")),
        excluded=5,
        ignored=6,
        orphaned=7,
        mean_masked_fraction=0.01234,
        max_masked_fraction=0.2,
        csv=Path("out/hair.csv"),
        contact_sheet=Path("sheet.png"),
    )

    lines = [
        "Images: 1,200 cleaned, 30 without hair, 4 done before, 2 failed.",
        "Masked: 1.23% of an image on average, 20.00% at most.",
        "Left out: 5 by their names, 6 that are not images.",
        "Clean images whose source is gone: 7.",
        "Failed: a.jpg: Reason. (and 1 more in the table)",
        "Table: out/hair.csv, contact sheet: sheet.png",
    ]
    assert str(report).splitlines() == lines
    plain = replace(report, failed=0, excluded=0, ignored=0, orphaned=0, contact_sheet=None)
    assert str(plain).splitlines() == [lines[0][:-9] + "0 failed.", lines[1], "Table: out/hair.csv"]
    lost = replace(report, cleaned=0, unchanged=0, skipped=0, failed=1, failures=(("a", "B."),))
    assert str(lost).splitlines()[1:4] == [*lines[2:4], "Failed: a: B."]


def test_the_fill_is_passed_on_where_it_is_given(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    @wraps(occlusion_removal)
    def removal(image: Image, *, method: Any, **options: Any) -> Any:
        calls.append((method.name, options))
        return image, np.zeros(image.shape[:2], np.bool_)

    monkeypatch.setattr(folders, "occlusion_removal", removal)
    run(source, tmp_path / "one", fill="closing", radius=3)
    run(source, tmp_path / "two", method=None)

    assert calls[0] == ("luv", {"fill": "closing", "radius": 3, "return_mask": True})
    default = inspect.signature(occlusion_removal).parameters["method"].default
    assert calls[-1] == (default, {"return_mask": True})


def test_files_that_go_by_the_names_of_masks_are_left_out(tmp_path: Path) -> None:
    names = [
        "a.jpg", "a_seg.png", "A_SEG.PNG", "a_segmentation.png", "a_superpixels.png",
        "a_attribute_streaks.png", "a_hair.png", "seg.png", "x/b_seg.png", "x/b_mask.jpg",
        "a_Lesion.bmp", "b_lesion.jpg", "._a.jpg", "__MACOSX/a.jpg", ".cache/a.png",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    default = list_images(tmp_path)
    chosen = list_images(tmp_path, exclude=["x/*.PNG", "?.jpg"])

    assert default.files == ["a.jpg", "b_lesion.jpg", "seg.png"]
    assert (default.excluded, default.ignored) == (9, 1)
    visible = {name for name in names if not name.startswith((".", "__"))}
    assert chosen.files == sorted(visible - {"a.jpg", "x/b_seg.png"})
    assert list_images(tmp_path, exclude=[]).files == sorted(visible)


def test_linked_folders_are_followed_and_a_loop_ends(source: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "elsewhere" / "x.png", hairy(5))
    (source / "linked").symlink_to(tmp_path / "elsewhere")
    (source / "sub" / "loop").symlink_to(source)

    assert list_images(source).files == sorted([*IMAGES, "linked/x.png"])
    with pytest.raises(FileNotFoundError):
        list_images(tmp_path / "gone")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_ending_that_is_listed_can_be_read(tmp_path: Path, suffix: str) -> None:
    write_any(tmp_path / f"a{suffix}", bare(0))

    assert read_image(tmp_path / f"a{suffix}").shape == (48, 64, 3)


@pytest.mark.parametrize(
    "call", [remove_hair_from_folder, partial(prepare, steps=[], image_size=8)]
)
def test_a_source_that_holds_no_images_is_refused(
    source: Path, tmp_path: Path, out: Path, call: Callable[..., Any]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a_seg.png").touch()
    (empty / "notes.txt").touch()
    for folder, error, words in [
        (tmp_path / "gone", DatasetNotFoundError, "gone` to exist.*layout: a folder of images"),
        (source / "a.jpg", ValueError, r"`source` to be a folder of images.*dermolib.io.read_imag"),
        (empty, ValueError, r"with images \(\.jpg, .*with none \(excluded: 1, other files: 1\)"),
    ]:
        with pytest.raises(error, match=words):
            call(folder, out)
        assert not out.exists()


@pytest.mark.parametrize(
    ("added", "options", "pair", "target"),
    [
        ("scan.png", {}, "scan.png and scan.tif", "scan.png"),
        ("A.JPG", {}, "A.JPG and a.jpg", "a.jpg"),
        ("a.png", {"masks": "masks"}, "a.jpg and a.png", "../masks/a.png"),
        ("b.webp", {"contact_sheet": "out/b.png"}, "the contact sheet and b.webp", "b.png"),
        ("masks/a.png", {"masks": "out/masks"}, "a.jpg and masks/a.png", "masks/a.png"),
    ],
)
def test_two_images_that_would_become_one_file_are_refused(
    source: Path, out: Path, added: str, options: dict[str, str], pair: str, target: str
) -> None:
    write_any(source / added, bare(0))
    words = f"`source` to be .* but got {pair}, which would both be {target} on .* exclude it"

    with pytest.raises(ValueError, match=words):
        run(source, out, **{key: out.parent / name for key, name in options.items()})

    assert not out.exists()


@pytest.mark.parametrize("place", ["in", "in/clean", ".", "link"])
@pytest.mark.parametrize("name", ["destination", "masks"])
def test_a_folder_written_to_may_neither_be_in_the_source_nor_around_it(
    source: Path, tmp_path: Path, name: str, place: str
) -> None:
    (tmp_path / "link").symlink_to(source / "sub")
    before = snapshot(tmp_path)

    with pytest.raises(ValueError, match=f"`{name}` to be a folder neither inside the source nor"):
        run(source, **{"destination": tmp_path / "out"} | {name: tmp_path / place})

    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["destination", "masks", "contact_sheet"])
def test_a_place_that_is_in_a_file_is_refused(source: Path, out: Path, name: str) -> None:
    places = {"destination": out} | {name: source / "a.jpg" / "deeper" / "a.png"}

    with pytest.raises(ValueError, match=f"`{name}` to be a folder, but got the file .*a.jpg"):
        run(source, **places)

    assert not out.exists()


def test_files_that_no_run_wrote_are_never_overwritten(
    source: Path, tmp_path: Path, out: Path
) -> None:
    masks = tmp_path / "masks"
    write_image(out / "a.jpg", bare(9))
    (out / "sub").mkdir()
    (out / "sub" / "B.PNG").symlink_to("nowhere")
    (out / "readme.txt").write_text("in nobody's way")
    (out / "hair.csv").write_text("of others")
    write_mask(masks / "sub" / "B.png", ~EMPTY)
    before = snapshot(tmp_path)
    files = [out / "hair.csv", out / "a.jpg", out / "sub" / "B.PNG", out / "../masks/sub/B.png"]
    words = re.escape(f"4 that no run wrote ({', '.join(map(str, files))})")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=words):
            run(source, out, masks=masks, overwrite=overwrite)

    assert snapshot(tmp_path) == before
    new = tmp_path / "new"
    with pytest.raises(ValueError, match=r"1 that no run wrote \(.*B\.png\)"):
        run(source, new, masks=masks)
    assert snapshot(tmp_path) == before
    run(source, new)
    write_image(source / "late.png", hairy(0))
    (new / "late.png").write_text("notes")
    with pytest.raises(ValueError, match=r"1 that no run wrote \(.*late\.png\)"):
        run(source, new, overwrite=True)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"workers": 0}, ValueError, "`workers` to be an integer of 1 or more, but got 0"),
        ({"workers": 1.5}, TypeError, "`workers` to be an integer of 1 or more"),
        ({"quality": 101}, ValueError, r"`quality` to be an integer in 1\.\.100"),
        ({"suffix": ".tif"}, ValueError, r"`suffix` to be one of '\.jpg', '\.jpeg', '\.png'"),
        ({"errors": "skip"}, ValueError, "`errors` to be one of 'record', 'raise'"),
        ({"method": "lub"}, ValueError, "`method` to be one of "),
        ({"radius": -1}, ValueError, "`radius` to be a number above 0 and up to 512"),
        ({"radio": 1}, TypeError, "`radio` to be one of the options of 'luv', "),
        ({"radius": [5]}, TypeError, "`radius` to be a number or a text, but got .* type list"),
        ({"return_mask": False}, TypeError, "`return_mask` to be left to the run over the folder"),
        ({"exclude": "*.png"}, TypeError, r"`exclude` to be a list of patterns.*\['\*\.png'\]"),
        ({"masks": "out"}, ValueError, "`masks` to be a folder apart from the clean images"),
        ({"contact_sheet": "sheet.jpg"}, ValueError, r"to be a file ending in \.png"),
        ({"contact_sheet": "in/sheet.png"}, ValueError, "to be a file outside the source"),
        ({"contact_sheet": "photo.png"}, ValueError, "a new file or an earlier contact sheet"),
    ],
)
def test_a_setting_that_is_unfit_is_refused_before_anything_is_written(
    source: Path, out: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    write_image(out.with_name("photo.png"), bare(0))
    for name in {"masks", "contact_sheet"} & options.keys():
        options = {name: out.parent / options[name]}

    with pytest.raises(error, match=words):
        run(source, out, **options)

    assert not out.exists()

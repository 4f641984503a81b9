"""The prepared store: what it gives, that it travels, and every damage that is told."""

import gc
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dermolib import prepare, shades_of_gray
from dermolib._validation import DatasetNotFoundError, Image
from dermolib.datasets import store as store_module
from dermolib.datasets.store import (
    FORMAT,
    INDEX_COLUMNS,
    PreparedStore,
    content_digest,
    is_store,
    load_image,
    load_mask,
    map_rows,
    settings_key,
)
from dermolib.io import (
    digest_file,
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    write_image,
    write_mask,
)
from drawing import noise_image

NAMES = ["a", "b", "c", "d"]
FILES = ["a.png", "b.png", "sub/c.png", "sub/d.jpg"]
LAYOUT = "store.json, index.csv and images.npy, as `dermolib.preprocessing.prepare` writes them"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write four images of several sizes, and their masks beside."""
    for seed, file in enumerate(FILES):
        write_image(tmp_path / "in" / file, noise_image(20 + seed, 30, seed))
        mask = np.random.default_rng(seed).random((20 + seed, 30)) < 0.5
        write_mask(tmp_path / "masks" / f"{Path(file).stem}_seg.png", mask)
    return tmp_path / "in"


@pytest.fixture
def made(source: Path, tmp_path: Path) -> PreparedStore:
    return make(source, tmp_path / "store", masks=tmp_path / "masks")


def make(source: Path, destination: Path, **options: Any) -> PreparedStore:
    given_options: dict[str, Any] = {"steps": [], "image_size": (8, 12), "progress": False}
    return prepare(source, destination, **{**given_options, **options})


def test_images_and_masks_are_found_by_number_and_by_id(
    made: PreparedStore, source: Path, tmp_path: Path
) -> None:
    assert len(made) == 4
    assert made.ids.tolist() == NAMES
    assert made.files.tolist() == FILES
    assert made.row_numbers.tolist() == [0, 1, 2, 3]
    assert made.image_size == (8, 12)
    for number, (name, file) in enumerate(zip(NAMES, FILES, strict=True)):
        wanted = resize_image(read_image(source / file), (8, 12))
        np.testing.assert_array_equal(made.image(number), wanted)
        np.testing.assert_array_equal(made[name], wanted)
        mask = read_mask(tmp_path / "masks" / f"{name}_seg.png")
        np.testing.assert_array_equal(made.mask(number), resize_mask(mask, (8, 12)))
    assert list(made) == NAMES
    assert "b" in made
    assert "nope" not in made
    found = made.find(["d", "nope", "a"])
    assert found.tolist() == [3, -1, 0]
    assert made.find([]).shape == (0,)


def test_images_are_mapped_and_cannot_be_written_to(made: PreparedStore) -> None:
    assert made.images.shape == (4, 8, 12, 3)
    assert made.images.dtype == np.uint8
    assert isinstance(made.images.base, np.memmap)
    assert type(made.images) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        made.images[0] = 0


def test_what_comes_out_is_a_copy_that_can_be_written_to(made: PreparedStore) -> None:
    before = made.images.copy()

    for copy in (made.image(1), made["b"], load_image(made.image_path(1))):
        copy[:] = 0
    for mask in (made.mask(1), load_mask(made.mask_path(1), shape=(8, 12))):
        mask[:] = True

    np.testing.assert_array_equal(made.images, before)
    assert not made.mask(1).all()


def test_a_store_says_what_it_is(made: PreparedStore, source: Path, tmp_path: Path) -> None:
    assert repr(made) == f"PreparedStore(4 images of 8 x 12 px, no steps, {tmp_path / 'store'})"
    other = make(source, tmp_path / "other", steps=["crop_border", shades_of_gray], image_size=4)
    assert "4 images of 4 x 4 px, crop_border, shades_of_gray, " in repr(other)


def test_the_files_are_those_of_numpy_and_csv(made: PreparedStore) -> None:
    names = ["images.npy", "index.csv", "masks.npy", "run.jsonl", "store.json"]
    images, index, masks, _, settings = (made.path / name for name in names)

    assert sorted(path.name for path in made.path.iterdir()) == names
    np.testing.assert_array_equal(np.load(images, allow_pickle=False), made.images)
    assert np.load(masks, allow_pickle=False).dtype == np.bool_
    content = json.loads(settings.read_text(encoding="utf-8"))
    assert (content["format"], content["settings"]) == (FORMAT, made.settings)
    table = pd.read_csv(index, keep_default_na=False)
    assert tuple(table) == INDEX_COLUMNS
    for name in INDEX_COLUMNS:
        assert made.column(name).tolist() == table[name].tolist()
    assert table["bottom"].tolist() == [20, 21, 22, 23]
    assert made.column("masked_fraction").dtype == np.float64


def test_the_key_is_equal_for_equal_settings_alone(source: Path, tmp_path: Path) -> None:
    first = make(source, tmp_path / "first")
    again = make(source, tmp_path / "again", exclude=["a*"])
    others = [
        make(source, tmp_path / "size", image_size=(12, 8)),
        make(source, tmp_path / "steps", steps=["shades_of_gray"]),
        make(source, tmp_path / "p", steps=[partial(shades_of_gray, p=7)]),
        make(source, tmp_path / "masked", masks=tmp_path / "masks"),
    ]

    assert first.key == again.key
    assert len({store.key for store in (first, *others)}) == 5


SETTINGS = st.dictionaries(st.text(max_size=3), st.one_of(st.none(), st.floats(), st.text()))


@given(SETTINGS)
def test_the_key_does_not_depend_on_the_order_of_settings(settings: dict[str, Any]) -> None:
    assert settings_key(settings) == settings_key(dict(reversed(settings.items())))
    assert settings_key({**settings, "more": 1}) != settings_key({**settings, "more": 2})


_READ = """
import pickle, sys
from dermolib.datasets.store import load_image
store = pickle.load(sys.stdin.buffer)
assert (store.image(2) == load_image(store.image_path(2))).all()
assert "torch" not in sys.modules
sys.stdout.buffer.write(store.image(2).tobytes())
"""


def test_a_fresh_process_reads_a_store_without_torch(made: PreparedStore) -> None:
    command = [sys.executable, "-c", _READ]
    result = subprocess.run(  # noqa: S603 - this interpreter, our code
        command, input=pickle.dumps(made), capture_output=True, check=True
    )

    assert result.stdout == made.image(2).tobytes()


def test_a_store_may_be_moved(made: PreparedStore, tmp_path: Path) -> None:
    before = made.images.copy()
    (tmp_path / "far").mkdir()
    shutil.move(made.path, tmp_path / "far" / "odd #1 images.npy")

    moved = PreparedStore(tmp_path / "far" / "odd #1 images.npy")

    np.testing.assert_array_equal(moved.images, before)
    assert moved.key == made.key
    np.testing.assert_array_equal(load_image(moved.image_path(3)), before[3])


@pytest.mark.parametrize("name", ["line\nbreak", "tab\t", "ü", "images.npy#3", "a#2"])
def test_a_path_may_have_any_name(source: Path, tmp_path: Path, name: str) -> None:
    store = make(source, tmp_path / name, masks=tmp_path / "masks")

    np.testing.assert_array_equal(load_image(store.image_path(2)), store.image(2))
    mask = load_mask(store.mask_path(2), shape=(8, 12))
    np.testing.assert_array_equal(mask, store.mask(2))


def test_paths_of_files_are_read_as_files(source: Path, tmp_path: Path) -> None:
    odd = tmp_path / "images.npy#3.jpg"
    shutil.copy(source / "sub" / "d.jpg", odd)
    mask = tmp_path / "masks" / "a_seg.png"

    np.testing.assert_array_equal(load_image(odd), read_image(source / "sub" / "d.jpg"))
    np.testing.assert_array_equal(load_image(str(odd)), load_image(odd))
    np.testing.assert_array_equal(load_mask(str(mask), shape=(20, 30)), read_mask(mask))


def test_a_store_made_again_is_seen_where_the_old_one_was_read(
    source: Path, tmp_path: Path
) -> None:
    old = make(source, tmp_path / "store")
    path = old.image_path(0)
    first = load_image(path)
    write_image(source / "a.png", noise_image(20, 30, 77))

    make(source, tmp_path / "store", overwrite=True)

    second = load_image(path)
    assert (first != second).any()
    np.testing.assert_array_equal(second, resize_image(noise_image(20, 30, 77), (8, 12)))
    # who opened the old one still holds it
    np.testing.assert_array_equal(old.image(0), first)


def test_few_stores_are_held_open_for_paths(source: Path, tmp_path: Path) -> None:
    store_module._mapped_once.cache_clear()
    paths = [make(source, tmp_path / str(n)).image_path(0) for n in range(10)]

    images = [load_image(path) for path in paths + paths]

    assert len({image.tobytes() for image in images}) == 1
    assert store_module._mapped_once.cache_info().currsize <= 8
    store_module._mapped_once.cache_clear()
    gc.collect()


def test_a_digest_is_that_of_the_bytes(made: PreparedStore, source: Path) -> None:
    digests = [content_digest(made.image_path(number)) for number in range(4)]

    assert digests[1] == hashlib.sha256(made.image(1).tobytes()).digest()
    assert len(set(digests)) == 4
    assert content_digest(made.mask_path(1)) == hashlib.sha256(made.mask(1).tobytes()).digest()
    data = (source / "a.png").read_bytes()
    assert content_digest(source / "a.png") == hashlib.sha256(data).digest()


def test_a_store_pickles_as_its_path(
    made: PreparedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = PreparedStore("store")
    monkeypatch.chdir(tmp_path / "in")  # a relative path stays right where the process goes

    data = pickle.dumps(store)

    again = pickle.loads(data)  # noqa: S301 - what was pickled the line before
    assert len(data) < 500
    assert again.path == made.path
    np.testing.assert_array_equal(again["c"], made["c"])
    np.testing.assert_array_equal(load_image(store.image_path(0)), made.image(0))


@pytest.mark.parametrize(
    ("use", "error", "fragment"),
    [
        (lambda store: store.find("abc"), TypeError, "`ids` to be a list of ids, but got one str"),
        (lambda store: store.column("age"), ValueError, "`name` to be one of 'row', 'id', 'file'"),
        (lambda store: store["e"], KeyError, "'e'"),
        (
            lambda store: load_mask(store.mask_path(0), shape=(12, 8)),
            ValueError,
            "a mask (12, 8) of dtype bool, but got shape (8, 12)",
        ),
        (
            lambda store: load_mask(store.image_path(0), shape=(8, 12)),
            TypeError,
            "of dtype bool, but got dtype uint8",
        ),
        (
            lambda store: PreparedStore(store.path, expect={"size": None}),
            ValueError,
            "Expected `expect` to be one of 'fit', 'image_size', 'masks', 'steps', 'versions'",
        ),
        (
            lambda store: PreparedStore(store.path, expect={"masks": False, "image_size": (4, 4)}),
            ValueError,
            "the expected settings, but got others (image_size [8, 12] there, [4, 4] here, masks "
            "True there, False here). Prepare the folder again, with `overwrite`.",
        ),
    ],
)
def test_what_a_store_does_not_have_is_refused(
    made: PreparedStore, use: Callable[[PreparedStore], Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=re.escape(fragment)):
        use(made)


@pytest.mark.parametrize("number", [-1, 4])
def test_a_number_that_is_not_there_is_an_index_error(made: PreparedStore, number: int) -> None:
    for look in (made.image, made.mask, made.image_path, made.mask_path):
        with pytest.raises(IndexError, match=rf"an image in 0\.\.3, but got {number}"):
            look(number)


def test_expected_settings_are_found(made: PreparedStore) -> None:
    expect = {"image_size": (np.int64(8), 12), "masks": True, "steps": []}

    assert len(PreparedStore(made.path, expect=expect)) == 4
    assert PreparedStore(made.path, expect=made.settings).key == made.key


def test_a_store_without_masks_has_none(source: Path, tmp_path: Path) -> None:
    store = make(source, tmp_path / "bare")

    assert not store.has_masks
    assert store.mask_path(0) == ""
    with pytest.raises(RuntimeError, match=r"`store` to be one with masks, .* with `masks=`"):
        store.mask(0)


def test_rows_and_files_that_are_gone_are_refused(
    made: PreparedStore, source: Path, tmp_path: Path
) -> None:
    path, first = made.image_path(3), made.image_path(0)
    make(source, tmp_path / "store", overwrite=True, exclude=["d*"])
    with pytest.raises(ValueError, match=r"a row of the index, but got another one of 3\. Open"):
        load_image(path)
    shutil.rmtree(made.path)
    with pytest.raises(DatasetNotFoundError, match=rf"images\.npy` to exist.*{re.escape(LAYOUT)}"):
        load_image(first)
    with pytest.raises(FileNotFoundError, match="No such file"):
        content_digest(str(source / "gone.png"))
    with pytest.raises(ValueError, match=r"to be a file, but got a folder"):
        content_digest(str(source))


@pytest.mark.parametrize("place", ["", "nothing", "in", "in/a.png"])
def test_what_is_not_a_store_is_refused_with_its_layout(
    source: Path, tmp_path: Path, place: str
) -> None:
    assert source.exists()
    assert not is_store(tmp_path / place)
    with pytest.raises(DatasetNotFoundError, match=rf"store\.json` to exist.*{re.escape(LAYOUT)}"):
        PreparedStore(tmp_path / place)


def test_an_incomplete_store_is_refused_with_how_to_go_on(source: Path, tmp_path: Path) -> None:
    (source / "b.png").write_bytes(b"")
    with pytest.raises(ValueError, match="1 that cannot be prepared"):
        make(source, tmp_path / "store")

    assert is_store(tmp_path / "store")
    with pytest.raises(ValueError, match=r"a complete store, .* Call `prepare` again with the set"):
        PreparedStore(tmp_path / "store")
    np.save(tmp_path / "images.npy", np.zeros(3))
    assert not is_store(tmp_path)  # an array of images alone makes no store


@pytest.mark.parametrize("name", ["images.npy", "masks.npy", "index.csv"])
def test_a_file_that_lacks_is_named(made: PreparedStore, name: str) -> None:
    (made.path / name).unlink()
    with pytest.raises(DatasetNotFoundError, match=rf"{name}` to exist.*{re.escape(LAYOUT)}"):
        PreparedStore(made.path)


def saved(path: Path, array: Any) -> None:
    np.save(path, array, allow_pickle=True)


def zipped(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, np.zeros((4, 8, 12, 3), np.uint8))


CODE = b"{'descr': (, 'fortran_order': False, 'shape': (4, 8, 12, 3)}"  # not a header of NumPy
DAMAGES: dict[str, Callable[[Path], object]] = {
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"more"),
    "in columns": lambda path: np.save(path, np.asfortranarray(np.load(path))),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no array"),
    "pickled": lambda path: saved(path, np.array([{"code": "that would run"}], dtype=object)),
    "zipped": zipped,
    "of floats": lambda path: saved(path, np.zeros((4, 8, 12, 3))),
    "of fewer dimensions": lambda path: saved(path, np.zeros(4, np.uint8)),
    "code in the header": lambda path: path.write_bytes(
        b"\x93NUMPY\x01\x00" + len(CODE).to_bytes(2, "little") + CODE
    ),
}


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_array_that_is_damaged_is_refused(made: PreparedStore, name: str, damage: str) -> None:
    path = made.path / name
    DAMAGES[damage](path)
    start = re.escape(f"Expected `{path}` to be an array of a store, but got ")
    sentence = re.compile(rf"^{start}.*\. Prepare the folder again, with `overwrite`\.$", re.DOTALL)
    with pytest.raises(ValueError, match=sentence):
        PreparedStore(made.path)
    with pytest.raises(ValueError, match=sentence):
        load_image(f"{path}#0")


@given(data=st.data())
def test_any_byte_of_a_header_ends_in_an_array_or_in_a_sentence(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, np.zeros((4, 8, 12, 3), np.uint8))
        written = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            byte = st.one_of(st.sampled_from(b"(){}[],:'0 \n"), st.integers(0, 255))
            written[data.draw(st.integers(6, 127))] = data.draw(byte)
        path.write_bytes(written)
        sentence = f"Expected `{path}` to be an array of a store, but got "

        try:
            rows = map_rows(path)
        except ValueError as error:
            assert str(error).startswith(sentence)  # noqa: PT017 - a few bytes change nothing
        else:
            assert rows.ndim == 4


@pytest.mark.parametrize("shape", [(3, 8, 12, 3), (4, 12, 8, 3), (4, 4, 4, 3)])
def test_an_array_of_other_rows_than_the_index_is_refused(
    made: PreparedStore, shape: tuple[int, ...]
) -> None:
    path = made.path / "images.npy"
    np.save(path, np.zeros(shape, np.uint8))
    what = f"at least 4 rows of (8, 12) px, but got shape {shape}. Prepare the folder again"
    with pytest.raises(ValueError, match=re.escape(what)):
        PreparedStore(made.path)


OTHER = "a store of the format 'dermolib-store-2', but got something else"
NOTED = "the file that the store was finished with, but got another one"


def refused(made: PreparedStore, file: str, got: str) -> None:
    """Check that a store is refused for one of its files."""
    start = rf"^Expected `{re.escape(str(made.path / file))}` to be .*{re.escape(got)}.*"
    with pytest.raises(
        ValueError, match=rf"{start}\. Prepare the folder again, with `overwrite`\.$"
    ):
        PreparedStore(made.path)
    with pytest.raises(ValueError, match=start):
        load_image(made.image_path(0))


@pytest.mark.parametrize(
    ("file", "pattern", "by", "got"),
    [
        ("index.csv", r".*", "", NOTED),
        ("index.csv", r"\n2,", "\n1,", NOTED),
        ("index.csv", r"\n3,.*", "\n", NOTED),
        ("index.csv", r'"b"', '"x"', NOTED),
        *(("store.json", r".*", text, OTHER) for text in ("", "[]", "3", "{}", "[" * 100_000)),
        ("store.json", r".*", f'{{"format": {"9" * 5_000}}}', OTHER),
        ("store.json", r"..$", "", OTHER),
        ("store.json", r'("settings".*?)12', r"\g<1>13", OTHER),
        ("store.json", r'"key": "..', '"key": "', OTHER),
        ("store.json", r'"settings":', '"setting":', OTHER),
        ("store.json", r'"digests":', '"digest":', OTHER),
        ("store.json", r"-store-2", "-store-1", "but got those of 'dermolib-store-1'"),
    ],
    ids=range(16),
)
def test_an_index_or_settings_that_are_damaged_are_refused(
    made: PreparedStore, file: str, pattern: str, by: str, got: str
) -> None:
    path = made.path / file
    text = path.read_text(encoding="utf-8")
    changed = re.sub(pattern, by, text, count=1, flags=re.DOTALL)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    refused(made, file, got)


def renew(made: PreparedStore, **changed: Any) -> None:
    """Change the settings of a store, or its index, with right digests."""
    path = made.path / "store.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {"digests": {"index.csv": digest_file(made.path / "index.csv")}, **changed}
    content["key"] = settings_key(content["settings"])
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("pattern", "by", "got"),
    [
        (r".*", "", "No columns to parse"),
        (r".*", "a,b\n1,2\n", "the columns a, b"),
        (r"\n.*", "\n", "0 rows in place of 4"),
        (
            r"\n(3,.*)",
            r"\n\1\1",
            "5 rows in place of 4, the same row twice, the same id twice, the same f",
        ),
        (r"\n2,.*", "\n2,", ""),
        (r",20,", ",x,", ""),
        (r",20,", f",{9**30},", ""),
        (r",30,", ",30,30,", ""),
        (r"(\n2,.*?)\n", r"\1,1\n", ""),
        (r"\n1,", "\n0,", "the same row twice"),
        (r"\n1,", "\n-1,", "a row out of range"),
        (r'"b"', '"a"', "the same id twice"),
        (r'"b.png"', '"a.png"', "the same file twice"),
        (r",20,30,", ",0,30,", "a height out of range"),
        (r",0\.0,", ",1.5,", "a masked_fraction out of range"),
        (r",0\.0,", ",nan,", "a masked_fraction out of range"),
        (r",0,20,0,30,", ",20,20,30,30,", "a bottom that is not beyond its top, a right that is"),
        (r",(\d+)\n", rf",{2**32}\n", "a mask_checksum out of range"),
    ],
    ids=range(18),
)
def test_an_index_of_unfit_values_is_refused_whatever_its_digest(
    made: PreparedStore, pattern: str, by: str, got: str
) -> None:
    path = made.path / "index.csv"
    text = path.read_text(encoding="utf-8")
    changed = re.sub(pattern, by, text, count=1, flags=re.DOTALL)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    renew(made)
    refused(made, "index.csv", f"the index of a store, but got {got}")


@pytest.mark.parametrize(
    "change",
    [{"image_size": "12"}, {"image_size": [8]}, {"masks": 1}, {"steps": ["a"]}, {"versions": None}],
    ids=["text", "one", "masks", "steps", "versions"],
)
def test_settings_of_other_types_are_refused_whatever_their_key(
    made: PreparedStore, change: dict[str, Any]
) -> None:
    renew(made, settings={**made.settings, **change})
    refused(made, "store.json", OTHER)
    others: list[Any] = [{}, [1], "text", None]
    for other in others:
        renew(made, settings=other)
        refused(made, "store.json", OTHER)


def test_settings_of_a_store_with_the_same_pixels_are_refused(
    made: PreparedStore, source: Path, tmp_path: Path
) -> None:
    other = make(source, tmp_path / "other", masks=tmp_path / "masks", steps=[same])
    np.testing.assert_array_equal(other.images, made.images)
    shutil.copy(other.path / "store.json", made.path)
    refused(made, "index.csv", NOTED)


def same(image: Image) -> Image:
    return image


def flip(path: Path, place: int) -> None:
    """Flip a bit of a file, whose size and time of change stay."""
    state = path.stat()
    with path.open("r+b") as file:
        file.seek(place, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(place, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bit_of_a_row_is_noticed_when_it_is_read(
    made: PreparedStore, data: st.DataObject
) -> None:
    name, size = data.draw(st.sampled_from([("images.npy", 8 * 12 * 3), ("masks.npy", 8 * 12)]))
    place = data.draw(st.integers(-4 * size, -1))
    flip(made.path / name, place)
    number = 4 + place // size
    one = {"images.npy": made.image_path, "masks.npy": made.mask_path}[name](number)
    sentence = re.escape(
        f"Expected `{one}` to be the row that was written, but got other bytes. "
        "Prepare the folder again: it makes that row again."
    )
    opened = PreparedStore(made.path)

    is_image = name == "images.npy"
    for read in (
        lambda: opened.image(number) if is_image else opened.mask(number),
        lambda: load_image(one) if is_image else load_mask(one, shape=(8, 12)),
        lambda: content_digest(one),
    ):
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            read()
    assert opened.find_damaged(workers=2).tolist() == [number]
    others = [n for n in range(4) if n != number]
    assert all(opened.image(n).shape == (*opened.mask(n).shape, 3) for n in others)

    flip(made.path / name, place)
    assert not len(opened.find_damaged())


def test_an_error_of_the_system_is_not_taken_for_damage(
    made: PreparedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "load", denied)
    with pytest.raises(PermissionError, match="Permission denied"):
        PreparedStore(made.path)

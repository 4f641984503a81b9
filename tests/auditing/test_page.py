"""The page of HTML: findings with pictures, complete in itself, whatever names say."""

import base64
import dataclasses
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from dermolib import audit
from dermolib._validation import Image
from dermolib.auditing import AuditReport
from dermolib.io import read_image, write_image

HOSTILE = [
    '<script>alert("1")</script>',
    "\"'><img src=x>",
    'a,"b"\n=c',
    "{{ 70007 * 3 }}",
    "</svg>`",
]


class Parsed(HTMLParser):
    """Elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, tag: str, name: str) -> list[str]:
        """List the values of an attribute of all elements of a kind."""
        return [there[name] for one, there in self.elements if one == tag and name in there]


def draw(seed: int) -> Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_CUBIC), np.uint8)


def table(folder: Path, split: str, count: int = 7) -> pd.DataFrame:
    """Write images of as many lesions."""
    start = sum(map(ord, split))
    rows = pd.DataFrame({"id": [f"{split}_{row:02d}" for row in range(count)]})
    rows["lesion"] = [f"L_{one}" for one in rows["id"]]
    rows["label"] = 1
    rows["image_path"] = [str(folder / f"{one}.png") for one in rows["id"]]
    for row, path in enumerate(rows["image_path"]):
        write_image(path, draw(start + 100 * row))
    return rows


@pytest.fixture
def train(tmp_path: Path) -> pd.DataFrame:
    return table(tmp_path, "train")


@pytest.fixture
def test(tmp_path: Path) -> pd.DataFrame:
    return table(tmp_path, "test")


def conflict(train: pd.DataFrame) -> None:
    """Give two images one lesion and different labels."""
    train.loc[5, "lesion"], train.loc[5, "label"] = "L_train_06", 2


def run(*splits: pd.DataFrame) -> AuditReport:
    report = audit(*splits, progress=False)
    # What is drawn here is no skin, and would be shown as such
    return dataclasses.replace(report, quality=report.quality[:0])


RECAPTURE = {
    "first": "train", "first_id": "train_00", "second": "test", "second_id": "test_00",
    "first_lesion": "L1", "second_lesion": "", "first_class": "NV", "second_class": "MEL",
    "score": 0.97, "inliers": 84, "scale": 1.25, "angle": -33.6, "shift_x": 3.0, "shift_y": -4.0,
    "agreement": 0.8, "kind": "recapture", "metadata": "differ",
}  # fmt: skip


def with_recaptures(report: AuditReport, *changes: dict[str, Any]) -> AuditReport:
    recaptures = pd.DataFrame([RECAPTURE | change for change in changes])
    return dataclasses.replace(
        report, recaptures=recaptures, checked=(*report.checked, "recaptures")
    )


def pairs_of(page: Parsed) -> list[tuple[str, str]]:
    boxes = zip(
        page.values("input", "data-first"), page.values("input", "data-second"), strict=True
    )
    return list(boxes)


def test_every_finding_in_images_shows_them(train: pd.DataFrame, test: pd.DataFrame) -> None:
    Path(test["image_path"][1]).write_bytes(Path(train["image_path"][1]).read_bytes())
    write_image(train["image_path"][3], read_image(train["image_path"][2])[::-1])
    write_image(train["image_path"][4], np.full((60, 80, 3), 7, np.uint8))
    conflict(train)

    page = Parsed(run(train, test).to_html())

    names = Counter(page.values("svg", "aria-label"))
    pair = {"train_01": 1, "test_01, laid on the first": 1}
    near = {"train_02": 1, "train_03, laid on the first": 1}
    assert names == pair | near | {"train_04": 1, "train_05": 1, "train_06": 1}
    assert pairs_of(page) == [("train_01", "test_01"), ("train_02", "train_03")]
    assert page.values("input", "data-kind") == ["identical", "near"]
    chosen = [there["class"] for _, there in page.elements if "checked" in there]
    assert chosen == ["side-by-side"] * 2
    pictures = page.values("image", "id")
    assert len(pictures) == len({*pictures}) == 7
    assert {*page.values("use", "href")} == {f"#{name}" for name in pictures}
    assert all(one.startswith("data:image/jpeg;base64,") for one in page.values("image", "href"))
    assert "7 pictures, 0.0 MB" in page.text


def test_recaptures_are_shown_aligned_in_their_order(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    report = with_recaptures(
        run(train, test),
        {"first_id": 'a,"b"', "second_id": "c"},
        {},
        {"second": "train", "second_id": "train_01", "kind": "shared skin", "second_class": ""},
    )

    page = Parsed(report.to_html())

    order = [('a,"b"', "c"), ("train_00", "test_00"), ("train_00", "train_01")]
    assert pairs_of(page) == order
    assert page.values("input", "data-score") == ["0.97"] * 3
    assert page.values("input", "data-kind") == ["recapture", "recapture", "shared skin"]
    transforms = page.values("use", "transform")
    assert len(transforms) == 2
    assert transforms[0].startswith("matrix(0.66")  # cos(33.6°) / 1.25
    assert "no picture" in page.text
    facts = (
        "0.97, agreement 0.80, between train and test; 84 matching points, zoom 1.25, turned 34°"
    )
    for text in (page.text, " ".join(str(report).split())):
        assert f"score {facts}; age, sex or site differ" in text
        assert "pairs that show the same lesion: 2" in text
        assert "pairs that show neighboring lesions of the same patient: 1" in text
    assert page.text.count("different labels") == 2
    assert "lesion unknown" in page.text


def test_recaptures_that_were_not_searched_or_not_found_are_no_finding(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    report = run(train, test)
    searched = dataclasses.replace(report, checked=(*report.checked, "recaptures"))

    for one, words in ((report, "not checked"), (searched, "none found")):
        section = str(one).split("SECOND PHOTOGRAPHS OF ONE LESION\n")[1].split("\n\n")[0]
        assert section.strip() == words
        assert "matching points" not in one.to_html()


@pytest.mark.parametrize(("most", "pairs"), [(2, 2), (3, 3), (100, 3)])
def test_the_pictures_of_a_finding_are_limited_and_the_page_says_so(
    train: pd.DataFrame, test: pd.DataFrame, most: int, pairs: int
) -> None:
    for row in range(3):
        Path(test["image_path"][row]).write_bytes(Path(train["image_path"][row]).read_bytes())

    page = Parsed(run(train, test).to_html(most=most))

    assert len(pairs_of(page)) == pairs
    assert ("of which the first 2 are shown" in page.text) == (pairs < 3)


def test_the_pictures_of_conflicts_are_limited(train: pd.DataFrame) -> None:
    train["lesion"], train["label"] = list("aabbccd"), [1, 2] * 3 + [1]
    report = run(train)

    for most, shown in ((1, 2), (2, 4), (100, 6)):
        page = Parsed(report.to_html(most=most))
        assert len(page.values("image", "id")) == shown
        assert ("with different labels: 3, for example" in page.text) == (shown < 6)


def test_the_pictures_of_blank_images_are_limited(train: pd.DataFrame) -> None:
    for row, path in enumerate(train["image_path"]):
        write_image(path, np.full((60, 80, 3), row, np.uint8))
    report = run(train)

    page = Parsed(report.to_html(most=3))

    assert len(page.values("image", "id")) == 3
    assert "The first 3 of 7 are shown." in page.text
    assert "are shown" not in Parsed(report.to_html()).text


def test_the_pictures_of_a_page_are_limited_and_the_page_says_so(
    train: pd.DataFrame, test: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in range(3):
        Path(test["image_path"][row]).write_bytes(Path(train["image_path"][row]).read_bytes())
    report = run(train, test)
    whole = Parsed(report.to_html())
    assert "more were left out" not in whole.text
    # A set whose pictures reach 16 MB takes a minute to draw
    monkeypatch.setattr("dermolib.auditing.page._MAX_BYTES", len(whole.values("image", "href")[0]))

    page = Parsed(report.to_html())

    assert len(page.values("image", "id")) == 1
    assert "5 more were left out" in page.text
    assert page.text.count("no picture") == 3


@pytest.mark.parametrize("images", [True, False])
def test_a_page_without_pictures_lists_the_findings(
    train: pd.DataFrame, test: pd.DataFrame, images: bool
) -> None:
    Path(test["image_path"][1]).write_bytes(Path(train["image_path"][1]).read_bytes())
    test.loc[2, "lesion"] = "L_train_02"
    report = audit(train, test, progress=False, images=images)

    page = report.to_html(most=0) if images else report.to_html()

    assert not re.search("<(svg|image|input|script)", page)
    assert "L_train_02: train_02 in train; test_02 in test" in page
    assert ("train_01 (NV) and test_01 (NV):" in page) == images


def test_files_that_have_gone_since_leave_a_page_without_their_pictures(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    Path(test["image_path"][1]).write_bytes(Path(train["image_path"][1]).read_bytes())
    report = run(train, test)
    Path(test["image_path"][1]).unlink()

    page = Parsed(report.to_html())

    assert "no picture" in page.text
    assert pairs_of(page) == [("train_01", "test_01")]


def test_hostile_names_are_shown_and_change_no_element(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    Path(test["image_path"][1]).write_bytes(Path(train["image_path"][1]).read_bytes())
    conflict(train)

    def parse(first: str, second: str) -> Parsed:
        known = {"train_01": first, "train_05": second}
        names = {column: train[column].replace(known) for column in ("id", "lesion")}
        report = run(train.assign(**names), test)
        change = {"first_id": first, "first": second, "metadata": first, "first_class": second}
        return Parsed(with_recaptures(report, change).to_html())

    plain = parse("train_01", "train_05")
    for first, second in zip(HOSTILE, HOSTILE[1:] + HOSTILE[:1], strict=True):
        page = parse(first, second)
        assert [(tag, [*names]) for tag, names in page.elements] == [
            (tag, [*names]) for tag, names in plain.elements
        ]
        assert first in page.values("input", "data-first")
        assert "210021" not in page.text


def test_a_page_with_pictures_is_complete_in_itself(
    train: pd.DataFrame, test: pd.DataFrame
) -> None:
    Path(test["image_path"][1]).write_bytes(Path(train["image_path"][1]).read_bytes())

    page = run(train, test).to_html()

    references = Parsed(page)
    script = re.search("<script>(.*)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
    policy += f"'sha256-{digest}'"
    assert policy in references.values("meta", "content")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>")
    assert not re.search(r"https?://|\bsrc=|url\(|@import", page)
    targets = [one for _, there in references.elements for n, one in there.items() if n == "href"]
    anchors = {there["id"] for _, there in references.elements if "id" in there}
    inside = [one for one in targets if not one.startswith("data:image/jpeg;base64,")]
    assert inside
    assert {one.removeprefix("#") for one in inside} <= anchors
    names = [there["id"] for _, there in references.elements if "id" in there]
    assert len(names) == len({*names})
    assert {*references.values("label", "for")} <= anchors


def test_a_negative_limit_is_refused(train: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"`most` to be an integer of 0 or more, but got -1"):
        run(train).to_html(most=-1)

"""A page is one file, takes nothing from the network, and shows names as they are."""

import base64
import html.parser
import io
import re
import subprocess
import sys

import jinja2
import numpy as np
import pytest
from PIL import Image

from keras_res3d.reports import charts, pages, search, sections
from keras_res3d.scores import Scores

ODD = "<script>alert('x')</script> & \"q\""

class Reader(html.parser.HTMLParser):
    """What a browser finds: tags with their attributes, texts, and whether every tag is closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def page():
    clip = np.zeros((2, 8, 8, 3), np.uint8)
    scores = Scores((ODD, "b"), np.eye(2, dtype=np.float32)[[0, 1, 0]], np.arange(3), np.array([0, 1, 1]))
    shown = [pages.ClipShown(clip, ODD, [("net", ODD, 0.5), (ODD, "other", 0.25)], source=ODD)]
    parts = [sections.Table(["a", ODD], [[ODD, 1]], ODD), sections.Clips(shown), sections.Text(ODD),
             sections.Code(ODD), sections.Numbers([(ODD, ODD)]), sections.Pairs([(ODD, ODD)]),
             charts.confusion(scores, ODD)]  # fmt: skip
    curves = sections.curves({ODD: {"loss": [1, 2]}, "other": {"loss": [np.nan, 2]}})
    return sections.page(f"t {ODD}", f"l {ODD}", [sections.Section(ODD, parts), curves])


def test_names_are_shown_as_they_are(page):
    reader = Reader(page)
    assert "script" not in {tag for tag, _ in reader.tags}
    text = " ".join(reader.texts)
    # Title twice, lead, heading; the table's fold, header and cell; the clip's class, answer, who, source; text, code;
    # numbers and pairs; the matrix's title, row and two names of its mistake's row; the legend.
    assert text.count(ODD) == 4 + 3 + 4 + 2 + 4 + 3 + 1
    assert [attributes["alt"] for tag, attributes in reader.tags if tag == "img"] == [ODD]
    kinds = [attributes.get("class") for tag, attributes in reader.tags if tag == "span"]
    assert kinds == ["right", "wrong", "source"]
    assert "other: loss is not a finite number in epoch 1." in text


@pytest.mark.parametrize("template", sorted(path.name for path in pages.TEMPLATES.glob("*.html")))
def test_no_template_lets_a_text_through_unescaped(template):
    """All pages of all reports are made by `pages.render`, which escapes what a template does not exempt."""
    text = (pages.TEMPLATES / template).read_text()
    assert not re.search(r"\|\s*safe|autoescape|Markup", text) and pages._templates().autoescape is True


def test_no_report_makes_markup_of_its_own():
    for path in pages.TEMPLATES.parent.rglob("*.py"):
        assert not re.search(r"Markup|jinja2\.Template\(|from_string", path.read_text()), path


def test_names_of_videos_that_were_searched_for_are_shown_as_they_are():
    found = [search.Thumbnail(ODD, (ODD, ODD), None, ODD), search.Thumbnail(ODD, (), "data:image/webp;base64,")]
    reader = Reader(search.search_page(found[0], found, ODD))
    assert "script" not in {tag for tag, _ in reader.tags} and " ".join(reader.texts).count(ODD) >= 8


def test_a_page_needs_no_network_and_no_script(page):
    for tag, attributes in Reader(page).tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("data:", "#"))
            assert not name.startswith("on")
    assert not re.search(r"@import|url\((?!#)", page)


def test_only_a_matrix_may_be_wider_than_a_telephone_and_scrolls_in_its_own_box(page):
    assert re.search(r'<div class="scrolls"[^>]*>\s*<table class="cells">', page)
    assert ".scrolls { overflow-x: auto" in page
    wide = sections.page("t", "l", [sections.Section("", [sections.Table(list("abcd"), [[1, 2, 3, 4]])])])
    assert '<table class="stacks">' in wide and '<td data-name="d">4</td>' in wide


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="lead"):
        pages.render("page.html", title="t")


def test_animation_holds_every_frame():
    clip = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), np.uint8)
    address = pages.animation(clip, scale=2)
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert image.n_frames == 5 and image.size == (16, 16)
    image.seek(3)
    assert np.array_equal(np.asarray(image.convert("RGB"))[::2, ::2], clip[3])


def test_a_clip_on_a_page_is_bounded():
    noise = np.random.default_rng(0).integers(0, 255, (100, 240, 320, 3), np.uint8)
    address = pages.animation(noise)
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    assert image.n_frames == 32 and image.size == (160, 120) and len(address) < 600_000


def test_an_installed_package_has_the_templates(tmp_path):
    """setuptools packs what MANIFEST.in names; nothing is written into the checkout."""
    pytest.importorskip("setuptools")
    root = pages.TEMPLATES.parents[2]
    if not (root / "setup.py").exists():
        pytest.skip("no setup.py beside the package: it is installed")
    (tmp_path / "egg").mkdir()
    words = ["-q", "egg_info", "--egg-base", tmp_path / "egg", "build", "--build-base", tmp_path / "build"]
    subprocess.run([sys.executable, "setup.py", *words], cwd=root, check=True, capture_output=True)
    packed = {path.name for path in (tmp_path / "build").rglob("reports/templates/*")}
    assert packed == {path.name for path in pages.TEMPLATES.iterdir()}
    assert {"page.html", "parts.html", "style.css", "report.html"} <= packed
    packed = {path.name for path in (tmp_path / "build").rglob("export/web_page/*")}
    assert packed == {path.name for path in (root / "keras_res3d/export/web_page").iterdir()} >= {"index.html"}


def test_charts_leave_gaps_and_find_limits():
    history = {"loss": [2.0, np.nan, 1.0, 0.5], "clip@1": [0.5], "val_clip@1": [np.nan], "other": [1.0]}
    loss, accuracy = charts.history_charts({"net": history}, 0.25)
    (line,) = loss.lines
    assert (len(line.paths), len(line.points)) == (1, 1) and line.last == "0.5"
    assert line.points[0] == (charts.LEFT, charts.TOP)  # the largest of the first epoch: the upper left corner
    assert [line.name for line in accuracy.lines] == ["training clips"] and accuracy.guide is not None
    assert charts.history_charts({"net": {"loss": [np.nan]}}) == [] and charts.history_charts({"net": {}}) == []


def test_a_matrix_of_many_classes_shows_the_most_confused_and_all_as_a_picture():
    labels = tuple(f"c{number}" for number in range(400))
    answers = np.arange(400)
    answers[7] = 3
    scores = Scores(labels, np.eye(400, dtype=np.float32)[answers], np.arange(400), np.arange(400))
    matrix = charts.confusion(scores, "")
    assert len(matrix.rows) == 20 and {4, 8} <= set(matrix.columns) and matrix.mistakes == [("c7", "c3", 1)]
    picture = Image.open(io.BytesIO(base64.b64decode(matrix.picture.partition(",")[2])))
    alpha = np.asarray(picture)[::2, ::2, 3]
    assert alpha.shape == (400, 400) and alpha[7, 3] == 255 and alpha[7, 7] == 0 and (alpha > 0).sum() == 400


def test_names_that_no_page_may_hold_are_escaped():
    odd = "red\x1b[31m\u202e" + b"\xff".decode("utf-8", "surrogateescape")
    text = pages.render("page.html", title=odd, lead=f"{odd}\nnext line")
    assert text.count(r"red\x1b[31m\u202e\xff") == 3 and text.encode() and "\nnext line" in text

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

from keras_res3d.reports import pages, plots

ODD = "<script>alert('x')</script> & \"q\""
PAGE = """{% extends "page.html" %}{% import "parts.html" as parts %}{% block sections %}
{{ parts.table(header, rows) }}{{ parts.clips(shown) }}{{ parts.pictures(figures, broad=true) }}<p>{{ remark }}</p>
{% endblock %}"""


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
    return pages.render(
        pages._templates().from_string(PAGE),
        title=f"t {ODD}",
        lead=f"l {ODD}",
        header=["a", ODD],
        rows=[[ODD, 1]],
        shown=[pages.ClipShown(clip, ODD, [("net", ODD, 0.5), (ODD, "other", 0.25)])],
        figures=[plots.confusion_matrix(np.eye(2, dtype=int), (ODD, "b"), ODD)],
        remark=ODD,
    )


def test_names_are_shown_as_they_are(page):
    reader = Reader(page)
    assert "script" not in {tag for tag, _ in reader.tags}
    text = " ".join(reader.texts)
    assert text.count(ODD) == 9  # title twice, lead, header, cell, caption, answer, who, remark
    assert [attributes["alt"] for tag, attributes in reader.tags if tag == "img"] == [ODD]
    kinds = [attributes.get("class") for tag, attributes in reader.tags if tag == "span"]
    assert kinds == ["right", "wrong"]


def test_a_page_needs_no_network_and_no_script(page):
    for tag, attributes in Reader(page).tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("data:", "#"))
            assert not name.startswith("on")
    assert not re.search(r"@import|url\((?!#)", page)


def test_wide_things_scroll_in_their_own_box(page):
    assert re.search(r'<div class="wide"[^>]*>\s*<table>', page) and ".wide { overflow-x: auto" in page
    assert 'class="pictures broad"' in page


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
    assert {"page.html", "parts.html", "style.css", "quickstart.html"} <= packed


def test_names_that_no_page_may_hold_are_escaped():
    odd = "red\x1b[31m\u202e" + b"\xff".decode("utf-8", "surrogateescape")
    text = pages.render("page.html", title=odd, lead=f"{odd}\nnext line")
    assert text.count(r"red\x1b[31m\u202e\xff") == 3 and text.encode() and "\nnext line" in text

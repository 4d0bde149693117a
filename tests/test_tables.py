"""Text as it is shown: columns stay aligned whatever the names are, odd names are escaped, JSON gives them back."""

import json

import pytest

from keras_res3d.tables import as_json, as_markdown, as_text, printable


def test_numbers_to_the_right_and_names_to_the_left():
    assert as_text(["class", "videos"], [["a", "5"], ["longer", "10"]]).splitlines() == [
        "class   videos",
        "------  ------",
        "a            5",
        "longer      10",
    ]


def test_wide_and_combining_characters_keep_the_columns():
    lines = as_text(["class", "n"], [["打架", "1"], ["cafe\u0301", "2"], ["plain", "3"]]).splitlines()
    assert lines[2:] == ["打架   1", "cafe\u0301   2", "plain  3"]


def test_no_rows():
    assert as_text(["class", "videos"], []).splitlines() == ["class  videos", "-----  ------"]


def test_markdown_escapes_bars():
    assert as_markdown(["class"], [["a|b"]]) == "| class |\n| --- |\n| a\\|b |"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain ü 日本 👩‍🚀 a_b$c$ \\", "plain ü 日本 👩‍🚀 a_b$c$ \\"),
        ("\x1b[31m\x07\x7f\x9b", r"\x1b[31m\x07\x7f\x9b"),
        ("a\nb\rc\td\u2028e", r"a\nb\rc\td\u2028e"),
        ("\u202egpj.exe\u200b\ufeff", r"\u202egpj.exe\u200b\ufeff"),
        (b"\xff\xe9.mp4".decode("utf-8", "surrogateescape"), r"\xff\xe9.mp4"),
        ("\ud800", r"\ud800"),
    ],
)
def test_names_as_they_may_be_printed(name, shown):
    assert printable(name) == shown and printable(shown) == shown
    assert printable(f"{name}\nnext", lines=True) == "\n".join([*map(printable, name.split("\n")), "next"])
    assert printable(name).encode()
    assert shown.replace("|", "\\|") in as_markdown(["name"], [[name]])
    assert shown in as_text(["name"], [[name]])


def test_json_gives_names_back():
    value = {"a\x1b\x9b\n": [b"\xff".decode("utf-8", "surrogateescape"), "ü\u2028\u202e", 1.5, None]}
    text = as_json(value)
    assert json.loads(text) == value and "ü" in text and text.endswith("}\n")
    assert text.encode() and printable(text, lines=True) == text
    assert as_json([1], indent=1) == "[\n 1\n]\n"

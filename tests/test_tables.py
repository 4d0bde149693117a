"""Text tables: columns stay aligned whatever the names are."""

from keras_res3d.tables import as_markdown, as_text


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

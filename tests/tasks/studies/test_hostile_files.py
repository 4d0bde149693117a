"""The files of a study: one of any content is refused by name, and damaged results count as none."""

from __future__ import annotations

import json
import math
import re
import tracemalloc

import pytest

from keras_res3d.tasks.studies.folder import FAILURE, LATENCY, LEFT_OUT, SCORES, read_header
from keras_res3d.tasks.studies.read import read_study
from keras_res3d.tasks.studies.results import read_results
from keras_res3d.tasks.studies.yaml_text import parse_yaml
from tests.made_studies import CANDIDATE, HEADER


def written(folder, header=HEADER):
    (folder / "study.json").write_text(header if isinstance(header, str) else json.dumps(header))
    return folder


@pytest.mark.parametrize("header", [
    "[", "[]", "[" * 10**5, {}, {**HEADER, "candidates": [1]}, {**HEADER, "data": {}}, {**HEADER, "budget": 3},
    *({**HEADER, "candidates": [{**CANDIDATE, "name": name}]} for name in ("../x", "/etc", "", ".", "a/b", "a\0")),
], ids=range(13))  # fmt: skip
def test_a_header_of_any_content_is_refused_by_name(tmp_path, header):
    with pytest.raises(ValueError, match=r"study\.json is damaged"):
        read_header(written(tmp_path, header))


@pytest.fixture
def run(tmp_path):
    """The folder of a run in a study, beside one whose name is of no seed."""
    run = written(tmp_path) / "flat" / "seed0"
    run.mkdir(parents=True)
    (tmp_path / "flat" / "seed\u00b2").mkdir()
    return run


GOOD = {"video@1": 0.5, "clip@1": 0.25, "seconds": 1.5}


@pytest.mark.parametrize("text", ["[", "[]", '{"video@1": "x", "seconds": "x"}', '{"seconds": []}', "3", "\0",
                                  '{"seconds": 1, "seconds": 2}', '{"seconds": NaN}', '{"seconds": -1}'])  # fmt: skip
def test_small_files_that_are_damaged_are_refused_by_name(tmp_path, run, text):
    for path in (run / SCORES, run / FAILURE, run.parent / LATENCY, run.parent / LEFT_OUT):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is damaged: .*; remove it, and the same search"):
            read_results(tmp_path)
        path.unlink()


@pytest.mark.parametrize("share", ["NaN", "Infinity", "-Infinity", "1e999", "1.7e308", "57.3", "-1", "null", '"0.5"'])
@pytest.mark.parametrize("measure", ["video@1", "clip@1", "video@5"])
def test_measures_are_shares(tmp_path, run, measure, share):
    (run / SCORES).write_text(json.dumps({**GOOD, measure: "here"}).replace('"here"', share))
    with pytest.raises(ValueError, match=rf"scores\.json is damaged: {measure} is .*; expected a number from 0 to 1"):
        read_results(tmp_path)


def test_all_runs_of_a_study_have_the_same_measures(tmp_path, run):
    (run / SCORES).write_text(json.dumps(GOOD))
    other = run.parent / "seed1" / SCORES
    other.parent.mkdir()
    other.write_text(json.dumps({**GOOD, "video@5": 1}))
    with pytest.raises(ValueError, match=r"seed1/scores\.json has video@1, clip@1, video@5, and .*seed0/scores\.json"):
        read_results(tmp_path)
    other.write_text(json.dumps(GOOD))
    assert read_results(tmp_path).candidates[0].deviation("clip@1") == 0


@pytest.mark.parametrize("changed", [
    {"budget": {"target": math.inf, "count": "all"}}, {"budget": {"target": 1e4, "count": "some"}},
    {"data": {**HEADER["data"], "classes": []}}, {"candidates": [CANDIDATE, CANDIDATE]},
    *({"candidates": [{**CANDIDATE, **each}]} for each in (
        {"off": math.nan}, {"printed": {"ucf101": math.nan}}, {"macs": 0}, {"sampling": {"frames": 0}},
        {"architecture": {"name": "a", "blocks": 3}}, {"architecture": {"name": "a", "colour": 3}},
        {"architecture": {"name": "a", "blocks": [2]}}, {"name": "n" * 101})),
], ids=range(12))  # fmt: skip
def test_a_header_of_values_that_nothing_can_be_made_of_is_refused_by_name(tmp_path, changed):
    with pytest.raises(ValueError, match=r"study\.json is damaged: "):
        read_header(written(tmp_path, {**HEADER, **changed}))


@pytest.mark.parametrize("name", ["own.json", "own.yaml"])
@pytest.mark.parametrize("text", [
    "[1", "[1]", "[" * 10**4, '{"candidates": 3}', '{"candidates": {"../x": {}}}', '{"study": [1], "candidates": {}}',
    '{"fields": [1], "candidates": {"a": {}}}', '{"candidates": {"a": {"blocks": 3}}}',
    '{"candidates": {"a": {"blocks": [1000000000, 1, 1, 1]}}}', '{"candidates": {"a": {"net": [1.5]}}}',
    '{"base": 3, "candidates": {"a": {}}}', '{"study": "depth", "fields": {"blocks": 3}}',
    '{"sampling": {"resize": 3}, "candidates": {"a": {}}}', '{"candidates": {"a": {"resize": [1, "a"]}}}',
    '{"candidates": {"a": {"resize": [100000, 100000]}}}', '{"sampling": {"b": 1, "a": 2}, "candidates": {"a": {}}}',
])  # fmt: skip
def test_a_study_of_any_content_is_refused_by_name(tmp_path, name, text):
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"own\.{name[4:]}"):
        read_study(tmp_path / name)


@pytest.mark.parametrize("text", [
    '!!int ""', "!!bool x", "!!timestamp x", "!!float ''", "- " * 10**4, "!!python/name:os.system x",
], ids=range(6))  # fmt: skip
def test_yaml_that_pyyaml_stumbles_over_is_told(tmp_path, text):
    pytest.importorskip("yaml")
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"own\.yaml is no YAML: "):
        read_study(tmp_path / "own.yaml")


def test_yaml_that_keeps_pyyaml_busy_is_not_read(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "own.yaml").write_text("[" * 101 + "]" * 101)
    with pytest.raises(ValueError, match=r"own\.yaml is no YAML: it is nested too deeply; expected up to 100 levels"):
        read_study(tmp_path / "own.yaml")


@pytest.mark.parametrize("name", ["own.json", "own.yaml"])
def test_no_more_of_a_study_is_read_than_counts(tmp_path, name):
    with open(tmp_path / name, "wb") as file:
        file.truncate(2**40)  # no disk has to hold the zeros
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"own\.\w+ is too large; expected a study of up to 1,000,000 characters"):
        read_study(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25


@pytest.mark.parametrize(("text", "told"), [
    ("candidates:\n  a: {width: 4}\n  a: {width: 5}", "line 3: 'a' twice in a mapping; expected each name once"),
    ("candidates: {1: {}, '1': {}}", "line 1: '1' twice in a mapping; expected each name once"),
    ("candidates:\n  ? [a]\n  : {}", "line 2: a list or a mapping is no name; expected a string"),
    ("candidates: {a: {}}\nsampling: [1\nbase: : 3", "line 3: expected ',' or ']', but got ':'"),
    ("a: \0", 'ReaderError: .*in "<unicode string>", position 3'),
])  # fmt: skip
def test_what_is_wrong_in_yaml_is_told_in_a_line_with_its_place(tmp_path, text, told):
    pytest.importorskip("yaml")
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"own\.yaml is no YAML: {told}$") as caught:
        read_study(tmp_path / "own.yaml")
    assert "\n" not in str(caught.value)


def test_yaml_is_read_as_it_is_written():
    pytest.importorskip("yaml")
    assert parse_yaml("{010: 010, ~: 1:30, yes: true, 56: [0, -3, 1_000, 0x1f], on: [.5, 1e-3, 1.5, 1:30.5]}") == {
        "010": "010", "~": "1:30", "yes": True, "56": [0, -3, 1000, "0x1f"], "on": [0.5, 1e-3, 1.5, "1:30.5"],
    }  # fmt: skip
    merged = "a: &a {x: 1, y: 2}\nb:\n  c: &c {<<: *a, x: 3}\nd: {<<: *c, y: 4}"
    assert parse_yaml(merged)["b"] == {"c": {"x": 3, "y": 2}}


@pytest.mark.parametrize(("text", "told"), [
    ("candidates: {~: {}}", "a candidate is called '~'"), ("candidates: {a: {width: 010}}", "width is '010'; expected"),
    ("candidates: {a: {stride: 1:30}}", "a.stride is '1:30'; expected a whole number"),
    (f"candidates: {{{'n' * 300}: {{}}}}", r"called 'n{60}\.\.\.'; expected letters.*at most 100 bytes"),
    ("candidates: {" + "\u96ea" * 34 + ": {}}", "at most 100 bytes"),
])  # fmt: skip
def test_names_and_numbers_that_yaml_made_something_of_are_told(tmp_path, text, told):
    pytest.importorskip("yaml")
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=told):
        read_study(tmp_path / "own.yaml")


def test_a_candidate_that_a_study_has_twice_is_refused(tmp_path):
    (tmp_path / "own.json").write_text('{"candidates": {"a": {"width": 4}, "a": {"width": 5}}}')
    with pytest.raises(ValueError, match=r"own\.json is no JSON: it has 'a' twice in an object"):
        read_study(tmp_path / "own.json")


def test_names_in_a_study_that_are_no_strings_are_told(tmp_path):
    pytest.importorskip("yaml")
    (tmp_path / "own.yaml").write_text("candidates: {a: {}}\nsampling: {1: 2, b: 3}")
    with pytest.raises(ValueError, match=r"own\.yaml: .*sampling of it has 1, b; expected some of stride, fps"):
        read_study(tmp_path / "own.yaml")


@pytest.mark.parametrize("given", [{"base": 3, "candidates": {"a": {}}}, {"candidates": {"a": {"net": 3}}}])
def test_a_net_that_is_no_name_is_a_value_error_in_a_mapping_too(given):
    with pytest.raises(ValueError, match="net is 3; expected a name"):
        read_study(given)


def test_a_study_that_unfolds_without_end_is_refused(tmp_path):
    pytest.importorskip("yaml")
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 12)]
    (tmp_path / "own.yaml").write_text("\n".join([*lines, "candidates: *a11"]))
    with pytest.raises(ValueError, match="more than 10,000,000 values"):
        read_study(tmp_path / "own.yaml")

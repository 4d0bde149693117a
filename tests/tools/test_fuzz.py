"""The tool that feeds parsers damaged inputs: what it counts and keeps, and a short run over all parsers."""

import io
import json
import os
import random
import signal
import zipfile

import pytest

from tools import fuzz
from tools.fuzzing import loop
from tools.fuzzing.loop import Target, fuzzed
from tools.fuzzing.mutations import MUTATIONS, VALUES
from tools.fuzzing.targets import TARGETS

GOOD = b'{"a": [1, 2, 3], "b": "text", "c": {"d": null}}'


@pytest.mark.parametrize("kind", MUTATIONS)
def test_mutations_depend_on_the_seed_alone(kind, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.json", GOOD)
    data = (tmp_path / "a.zip").read_bytes() if kind == "zip" else GOOD
    first, second = ([MUTATIONS[kind](data, random.Random(seed)) for seed in range(300)] for _ in range(2))
    assert first == second and len(set(first)) > 150


def test_an_archive_that_lzma_cannot_read_is_damaged_all_the_same():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.json", GOOD)
    whole = buffer.getvalue()
    for place in range(len(whole)):
        data = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert isinstance(MUTATIONS["zip"](data, random.Random(place)), bytes)


def _zip(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, content in enumerate(members):
            archive.writestr(f"{number}.npy", content)
    return buffer.getvalue()


@pytest.mark.parametrize("data", [_zip(), _zip(b"\x93NUMPY\1\0\0\0" + b"(" * 70_000)], ids=["empty", "long"])
def test_archives_without_members_and_with_long_headers_are_damaged_all_the_same(data):
    assert len({MUTATIONS["zip"](data, random.Random(seed)) for seed in range(300)}) > 100


def test_json_stays_json_often_and_gets_every_odd_value():
    texts, rng = [], random.Random(0)
    for _ in range(4000):
        try:
            texts.append(json.loads(MUTATIONS["json"](GOOD, rng)))
        except (ValueError, RecursionError):
            continue
    assert len(texts) > 1500
    assert {repr(value)[:50] for value in VALUES} <= {repr(text[key])[:50] for text in texts if isinstance(text, dict)
                                                      for key in text}  # fmt: skip


def _parse(path):
    """A parser with two faults."""
    data = path.read_bytes()
    if data.count(b"e") > 3:
        raise KeyError("odd")
    if b"\xff" in data:
        raise ValueError("no name")
    if not data.startswith(b"some"):
        raise ValueError(f"{path} does not start with some")
    return data[:20]


SEED = b"some words, of which a part may go, and that is all right"


def test_errors_are_told_apart_and_kept(tmp_path):
    """Inputs are counted rather than seconds, so that a busy machine feeds no fewer."""
    target = Target(lambda folder: {"a.txt": SEED}, _parse)
    result = fuzzed("made", target, 60, 0, tmp_path / "work", tmp_path / "findings", 250)
    counts = result.counts
    assert counts["inputs"] == 250
    assert counts["inputs"] == sum(counts[each] for each in loop.COUNTS[1:])
    assert all(counts[each] for each in loop.COUNTS[:5]) and not counts["hangs"] and not counts["crashes"]
    assert set(result.signatures) == {"untyped KeyError in ?", "without its file's name ValueError in ?"}
    kept = {path.read_text().splitlines()[0]: path for path in (tmp_path / "findings").glob("*.txt")
            if not path.stem.endswith("-a")}  # fmt: skip
    for what, damaged in (("untyped KeyError in ?", b"eeee"), ("without its file's name ValueError in ?", b"\xff")):
        path = kept[what]
        assert path.with_name(f"{path.stem}-a.txt").read_bytes() == damaged  # as short as can be
        assert "Traceback" in path.read_text()


def test_beside_an_input_lie_the_good_ones(tmp_path):
    """From the first parse to the last one that makes a finding smaller."""
    goods = {f"{name}.txt": b"e, ee and " + name.encode() for name in "abc"}

    def parse(path):
        if any((path.parent / name).read_bytes() != goods[name] for name in {*goods} - {path.name}):
            raise AssertionError("another input is not the good one")
        if path.read_bytes().count(b"e") > 3:
            raise {"a": KeyError, "b": IndexError, "c": TypeError}[path.stem]

    result = fuzzed("made", Target(lambda folder: goods, parse), 60, 0, tmp_path / "work", tmp_path / "findings", 250)
    assert set(result.signatures) == {f"untyped {error} in ?" for error in ("KeyError", "IndexError", "TypeError")}
    assert [path.read_bytes() for path in (tmp_path / "findings").glob("*-[abc].txt")] == [b"eeee"] * 3


@pytest.mark.parametrize(("fatal", "outcome", "what"), [
    (lambda path: path.read_bytes() == SEED or signal.pause(), "hangs", "hang"),
    (lambda path: path.read_bytes() == SEED or os.kill(os.getpid(), signal.SIGUSR1), "crashes", "crash by SIGUSR1"),
])  # fmt: skip
def test_a_process_that_hangs_or_dies_is_noticed_and_another_goes_on(tmp_path, monkeypatch, fatal, outcome, what):
    monkeypatch.setattr(loop, "HANG", 0.3 if outcome == "hangs" else loop.HANG)
    target = Target(lambda folder: {"a.txt": SEED}, fatal)
    result = fuzzed("made", target, 60, 0, tmp_path / "work", tmp_path / "findings", 3)
    assert result.counts[outcome] == 3 and result.signatures == {what: result.counts[outcome]}
    (kept, *_) = (tmp_path / "findings").glob("*-a.txt")
    assert kept.read_bytes() != SEED


def test_a_good_input_that_is_refused_stops_the_tool(tmp_path):
    target = Target(lambda folder: {"a.txt": b"no"}, _parse)
    with pytest.raises(RuntimeError, match=r"the good input a\.txt is refused: .*does not start with some"):
        fuzzed("made", target, 1, 0, tmp_path / "work", tmp_path / "findings")


def test_the_table_and_the_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(TARGETS, "made", Target(lambda folder: {"a.txt": SEED}, _parse))
    assert fuzz.main(["made", "safetensors", "--seconds", "0.5", "--findings", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| parser | inputs | same | changed | typed | untyped | hangs | crashes | memory |")
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| made", "| safetensors"]
    assert any(line.startswith("made: ") and " x " in line for line in lines)
    assert not any(line.startswith("safetensors: ") for line in lines)
    assert fuzz.main([]) == 0 and capsys.readouterr().out.split() == list(TARGETS)
    with pytest.raises(SystemExit, match="there is no parser nothing"):
        fuzz.main(["nothing"])


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_no_parser_has_a_fault_within_a_second(name, tmp_path):
    """The long run is in docs/reliability.md."""
    result = fuzzed(name, TARGETS[name], 1, random.randrange(10**6), tmp_path / "work", tmp_path / "findings")
    assert result.counts["inputs"] and not result.signatures

"""The benchmark's helpers on toy workloads; nothing here depends on how fast the machine is."""

import json
import pathlib
import subprocess
import sys
import types

import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import benchmark  # noqa: E402
from benchmarks import decode, imports, memory, timing  # noqa: E402


def test_alternate_takes_turns_and_counts_no_warmup():
    calls, now = [], [0.0]

    def contestant(name, seconds):
        def work():
            calls.append(name)
            now[0] += seconds * len(calls)

        return work

    contestants = {"a": contestant("a", 1), "b": contestant("b", 10)}
    seconds = timing.alternate(contestants, rounds=2, warmup=1, clock=lambda: now[0])
    assert calls == ["a", "b"] * 3
    assert seconds == {"a": [3, 5], "b": [40, 60]}


def test_ratios_are_taken_round_by_round():
    values = {"ours": [1.0, 10.0, 2.0], "theirs": [2.0, 10.0, 6.0]}
    result = timing.Result("toy", values, "theirs", items=100, item="frames")
    assert result.ratios("ours") == (2.0, 1.0, 3.0)
    assert result.ratios("theirs") is None
    title, ours, theirs = result.lines()
    assert title == "toy (3 rounds)"
    assert "2.000 s" in ours and "50 frames/s" in ours and "ratio 2.00 (1.00 .. 3.00)" in ours
    assert "6.000 s" in theirs and "ratio" not in theirs
    assert json.loads(json.dumps(result.to_dict()))["medians"] == {"ours": 2.0, "theirs": 6.0}


def test_without_its_reference_a_result_has_no_ratios():
    result = timing.Result("toy", {"ours": [1.0]}, "theirs")
    assert result.ratios("ours") is None
    assert len(list(result.lines())) == 2


def test_the_machine_is_described():
    facts = timing.machine()
    assert facts["cpu"] and facts["cores"] >= 1 and facts["keras"]


def test_decoding_on_a_small_file(tmp_path):
    path = tmp_path / "small.mp4"
    decode.write_video(path, "mpeg4", frames=12, height=64, width=96)
    assert decode.read_ours(path) == 12
    options = benchmark.parse(["--rounds", "1", "--threads", "2", "--videos", str(path)])
    results = list(decode.run(options))
    titles = [result.title for result in results]
    for part in ("one file at a time", "2 files at a time", "a random clip of 8 frames"):
        assert any(part in title for title in titles), part
    assert all(len(values) == 1 for result in results for values in result.values.values())


def test_import_seconds_reads_every_number():
    code = imports._SECONDS.format("import json") + imports._SECONDS.format("pass")
    assert len(imports.import_seconds(code)) == 2


def test_flags(tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(["--rounds", "0"])
    with pytest.raises(SystemExit):
        benchmark.parse(["--videos", str(tmp_path / "none.mp4")])
    assert "expected at least 1" in capsys.readouterr().err
    assert benchmark.parse([]).suite == "all"


def test_suites_with_tools_of_their_own_run_them(monkeypatch):
    called = []
    module = types.SimpleNamespace(main=called.append)
    monkeypatch.setitem(sys.modules, benchmark.TOOLS["export"], module)
    benchmark.main(["--suite", "export"])
    assert called == [[]]



def test_json_is_written(monkeypatch, tmp_path, capsys):
    class Suite:
        @staticmethod
        def run(options):
            yield timing.Result("toy", {"ours": [1.0] * options.rounds}, "theirs")

    for name in ("CUDA_VISIBLE_DEVICES", "TF_CPP_MIN_LOG_LEVEL"):  # main sets them; this puts them back
        monkeypatch.setenv(name, "3")
    monkeypatch.setattr(benchmark.importlib, "import_module", lambda name: Suite)
    benchmark.main(["--suite", "decode", "--rounds", "2", "--json", str(tmp_path / "out.json")])
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["results"][0]["values"] == {"ours": [1.0, 1.0]} and written["machine"]["cores"] >= 1
    assert "toy (2 rounds)" in capsys.readouterr().out


def test_help():
    command = [sys.executable, str(TOOLS / "benchmark.py"), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--suite" in shown and "python tools/benchmark.py" in shown


@pytest.mark.slow
@pytest.mark.skipif(not memory.STATUS.exists(), reason="Linux alone counts a process's highest memory")
def test_memory_of_extract_grows_neither_with_length_nor_with_number(tmp_path):
    """Ten minutes are 138 MB of frames and 282 MB of clips; 2,000 clips are 602 MB. Allocators differ by some MB."""
    net = memory.small_net(tmp_path)
    short, long = (memory.long_video(tmp_path / f"{seconds} s", seconds) for seconds in (10, 600))
    few, many = (memory.many_videos(tmp_path / f"{count} videos", count) for count in (100, 2_000))
    peaks = [memory.peak(net, videos, tmp_path / "out") for videos in (short, long, few, many)]
    assert peaks[1] - peaks[0] < 60 and peaks[3] - peaks[2] < 60, peaks

"""The benchmark's helpers on toy workloads; nothing here depends on how fast the machine is."""

import json
import pathlib
import re
import subprocess
import sys
import types

import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import benchmark  # noqa: E402
from benchmarks import decode, imports, memory, page, results, timing  # noqa: E402


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
    result = results.Result("toy", values, "theirs", items=100, item="frames")
    assert result.ratios("ours") == (2.0, 1.0, 3.0)
    assert result.ratios("theirs") is None
    title, ours, theirs = result.lines()
    assert title == "toy (3 rounds)"
    assert "2.000 s" in ours and "50 frames/s" in ours and "ratio 2.00 (1.00 .. 3.00)" in ours
    assert "6.000 s" in theirs and "ratio" not in theirs
    assert json.loads(json.dumps(result.to_dict()))["medians"] == {"ours": 2.0, "theirs": 6.0}


def test_without_its_reference_a_result_has_no_ratios():
    result = results.Result("toy", {"ours": [1.0]}, "theirs")
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
    found = [each for each in decode.run(options) if isinstance(each, results.Result)]
    titles = [result.title for result in found]
    for part in ("one file at a time", "2 files at a time", "a random clip of 8 frames"):
        assert any(part in title for title in titles), part
    assert all(len(values) == 1 for result in found for values in result.values.values())


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


def suite_of(*found, parse=None):
    """A module that is a suite and yields what these functions make of the options."""
    module = types.SimpleNamespace(run=lambda options: (each(options) for each in found))
    if parse:
        module.parse = parse
    return module


@pytest.fixture
def quiet_environment(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "TF_CPP_MIN_LOG_LEVEL"):  # main sets them; this puts them back
        monkeypatch.setenv(name, "3")


def test_a_suite_with_flags_of_its_own_gets_its_defaults(monkeypatch, capsys, quiet_environment):
    def of_options(options):
        return results.Table(f"{options.net}, {options.rounds} rounds", ["a", "b"], [["1", "2"]])

    module = suite_of(of_options, parse=lambda arguments: types.SimpleNamespace(net="toy", rounds=15))
    monkeypatch.setitem(sys.modules, benchmark.SUITES["export"], module)
    benchmark.main(["--suite", "export", "--rounds", "2"])
    assert "toy, 2 rounds" in capsys.readouterr().out


def test_every_suite_has_an_interface_and_says_what_it_measures():
    for suite, name in benchmark.SUITES.items():
        source = TOOLS.joinpath(*name.split(".")).with_suffix(".py").read_text()
        assert "\ndef run(options)" in source and benchmark.about(suite), suite


def test_json_is_written(monkeypatch, tmp_path, capsys, quiet_environment):
    suite = suite_of(lambda options: results.Result("toy", {"ours": [1.0] * options.rounds}, "theirs"))
    monkeypatch.setattr(benchmark.importlib, "import_module", lambda name: suite)
    benchmark.main(["--suite", "decode", "--rounds", "2", "--json", str(tmp_path / "out.json")])
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["results"][0]["values"] == {"ours": [1.0, 1.0]} and written["machine"]["cores"] >= 1
    assert "toy (2 rounds)" in capsys.readouterr().out


def test_the_import_suite_writes_a_page(monkeypatch, tmp_path, capsys, quiet_environment):
    """With modules that are quick to import; of the figures the page is asked that they are there."""
    monkeypatch.setattr(imports, "_KERAS", imports._SECONDS.format("import json"))
    monkeypatch.setattr(imports, "_OURS", 3 * imports._SECONDS.format("import json"))
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    written = tmp_path / "page.md"
    benchmark.main(["--suite", "import", "--rounds", "1", "--threads", "2", "--write", str(written)])
    text = written.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n")
    assert "`python tools/benchmark.py --suite import --rounds 1 --threads 2 --write`" in text
    facts = dict(re.findall(r"^\| ([\w-]+) \| (.+) \|$", text, re.M))
    assert facts["cpu"] and facts["keras"] == timing.machine()["keras"] and int(facts["cores"]) >= 1
    assert benchmark.about("import") in text
    assert re.search(r"\|  \| keras, then keras_res3d.Res3D18 \| [\d.]+ s \| [\d.]+ \|", text)
    assert "- **import**, comparison with torchvision: it is not installed: pip install torch torchvision" in text


def test_all_suites_run_apart_and_one_that_fails_is_named(monkeypatch, tmp_path, capsys, quiet_environment):
    def run(words, **how):
        suite, found = words[words.index("--suite") + 1], pathlib.Path(words[words.index("--json") + 1])
        if suite == "nets":
            return types.SimpleNamespace(returncode=-11, stderr="")
        results_found = [{"suite": suite, **results.Result(suite, {"a": [2.0], "b": [1.0]}, "a").to_dict()}]
        found.write_text(json.dumps({"machine": {}, "results": results_found}))
        return types.SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(benchmark.subprocess, "run", run)
    benchmark.main(["--write", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert all((f"\n## {suite}\n" in text) == (suite != "nets") for suite in benchmark.SUITES)
    assert text.count("| b | 1.000 s | 2.00 |") == 8
    assert "- **nets**, the whole suite: it ended with code -11" in text


def test_the_page_joins_rows_of_one_header_and_drops_empty_columns():
    facts = {"load": 1.9, "cores": 2}
    found = [
        results.Result("one", {"a": [4.0, 2.0], "b": [1.0, 1.0]}, "a"),
        results.Result("two", {"a": [1234.0, 1235.0]}, unit="MB"),
        results.Table("Sizes", ["net", "MB"], [["x|y", "1"]]),
        results.Table("Sizes", ["net", "MB"], [["z", "2"]]),
        results.Missing("a thing", "pip install it"),
    ]
    suite = {"suite": "toy", "about": "What it does.", "results": [each.to_dict() for each in found]}
    text = page.page(facts, [suite], "python x", "2020-01-01")
    assert "| measured |  | median | lowest to highest | ratio (lowest to highest) |" in text and "a second" not in text
    assert "| one | a | 3.000 s | 2.000 to 4.000 |  |\n" in text
    assert "|  | b | 1.000 s | 1.000 to 1.000 | 3.00 (2.00 to 4.00) |\n" in text
    assert "| two | a | 1,234 MB | 1,234 to 1,235 |  |" in text
    assert "Sizes:\n\n| net | MB |\n| --- | --- |\n| x\\|y | 1 |\n| z | 2 |\n" in text
    assert "The load was 1.9 before the run" in text and "- **toy**, a thing: pip install it" in text


def test_the_whole_page_is_not_replaced_by_one_suite(capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(["--suite", "import", "--write"])
    assert "give another file for --suite import" in capsys.readouterr().err
    assert benchmark.parse(["--write"]).write == benchmark.PAGE


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

"""The calculator of capacity: its arithmetic by hand, and what it measures on a small sample."""

import json
import pathlib
import sys

import numpy as np
import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

import plan_capacity  # noqa: E402
from benchmarks import capacity  # noqa: E402

RATES = plan_capacity.Rates(frame_seconds=0.002, frame_bytes=5000, fps=25, file_bytes=100_000, clip_seconds=0.004,
                            macs_per_second=6e12)  # fmt: skip


def test_costs_by_hand():
    work = plan_capacity.Work(videos=1000, seconds=10, clips=360_000, batch=100, frames=8, macs=10**9,
                              parameters=10**6, hosts=2, devices=4)  # fmt: skip
    found = {(what, unit): value for what, value, unit, _ in plan_capacity.plan(work, RATES)}
    # Eight devices train 2000 clips a second each: 6e12 / (3 x 1e9). 3600 steps in 22.5 seconds.
    expected = {
        ("frames", "frames"): 250_000,
        ("video files", "TB"): 0.001,
        ("packing", "core hours"): 500 / 3600,
        ("shards", "TB"): 0.00125,
        ("training", "device hours"): 180 / 3600,
        ("training, all devices", "hours"): 22.5 / 3600,
        ("reading clips", "core hours"): 1440 / 3600,
        ("cores for reading", "cores a host"): 32,
        ("clips from storage", "MB/s a host"): 8000 * 8 * 5000 / 1e6,
        ("gradients", "MB a step and host"): 4,
        ("gradients", "MB/s a host"): 640,
    }
    assert found == pytest.approx(expected)


def test_one_host_sends_no_gradients():
    assert plan_capacity.traffic_of_step(10**6, 1) == 0
    assert plan_capacity.traffic_of_step(10**6, 4) == 6e6


def test_a_measured_device_takes_the_place_of_the_rates_own(tmp_path, capsys):
    (tmp_path / "rates.json").write_text(json.dumps(vars(RATES)))
    flags = ["plan", "--rates", str(tmp_path / "rates.json"), "--videos", "10", "--seconds", "1", "--clips", "72000",
             "--net", "sr18", "--clips_per_second", "20"]  # fmt: skip
    plan_capacity.main(flags)
    assert "| training | 1 | device hours |" in capsys.readouterr().out


FLAGS = {"rates": "rates.json", "videos": "10", "seconds": "1", "clips": "10", "net": "sr18"}


@pytest.mark.parametrize(("flag", "value", "said"), [
    ("rates", "nope.json", "nope.json: No such file or directory; expected the file that measure --json wrote"),
    ("rates", "list.csv", "list.csv: Expecting value: line 1 column 1 (char 0); expected the file that measure --json"),
    ("rates", "other.json", "other.json: frame_seconds is missing; expected the file that measure --json wrote"),
    ("rates", "zero.json", "zero.json: fps is 0; expected"),
    ("net", "nope", "no net is called 'nope'; there are res3d18"),
    ("hosts", "0", "'0'; expected a whole number above 0"),
    ("videos", "-5", "'-5'; expected a whole number above 0"),
    ("videos", "2.5", "'2.5'; expected a whole number above 0"),
    ("seconds", "nan", "'nan'; expected a number above 0"),
    ("clips_per_second", "inf", "'inf'; expected a number above 0"),
])  # fmt: skip
def test_a_wrong_flag_is_told_in_a_line(tmp_path, monkeypatch, capsys, flag, value, said):
    monkeypatch.chdir(tmp_path)
    files = {"rates": vars(RATES), "other": {}, "zero": {**vars(RATES), "fps": 0}}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "list.csv").write_text("path,label\n")
    words = [f"--{name}={text}" for name, text in {**FLAGS, flag: value}.items()]
    with pytest.raises(SystemExit) as found:
        plan_capacity.main(["plan", *words])
    assert found.value.code == 2 and f"error: argument --{flag}: {said}" in capsys.readouterr().err.splitlines()[-1]


def test_the_help_of_plan_says_what_each_flag_is(capsys):
    with pytest.raises(SystemExit):
        plan_capacity.main(["plan", "--help"])
    said = capsys.readouterr().out
    assert "batch times steps" in said and "machines that train together (1)" in said and "see" not in said


def test_a_list_that_is_not_there_is_told_in_a_line():
    with pytest.raises(SystemExit, match=r"^--data: nope\.csv: 1 fault\s+no such file"):
        plan_capacity.main(["measure", "--data", "nope.csv"])


def test_packing_is_measured(tmp_path, make_video):
    frames = np.random.default_rng(0).integers(0, 256, (10, 40, 48, 3), np.uint8)
    paths = [str(make_video(tmp_path / f"{number}.mp4", frames)) for number in range(2)]
    found = capacity.packing(paths)
    assert (found.videos, found.frames) == (2, 20) and found.seconds == pytest.approx(0.8, abs=0.01)
    assert found.processor > 0 and found.packed_bytes > 10_000
    assert found.file_bytes == sum(pathlib.Path(path).stat().st_size for path in paths)
    rates = plan_capacity.rates_of(found, 0.1, 1e9)
    assert rates.fps == pytest.approx(25, abs=0.2) and rates.frame_bytes == found.packed_bytes / 20
    assert capacity.clip_seconds(paths, 4, rounds=1) > 0


@pytest.mark.parametrize(("verb", "sample", "least"), [("check", 1, 2), ("check", 9, 2), ("measure", 0, 1)])
def test_a_sample_that_is_too_small_is_told(tmp_path, make_video, verb, sample, least):
    frames = np.zeros((4, 40, 48, 3), np.uint8)
    rows = [f"{make_video(tmp_path / f'{number}.mp4', frames)},a\n" for number in range(1 if sample > 1 else 3)]
    (tmp_path / "videos.csv").write_text("path,label\n" + "".join(rows))
    said = rf"^--sample {sample} of the {len(rows)} video\(s\) in .*videos\.csv: at least {least} are needed$"
    with pytest.raises(SystemExit, match=said):
        plan_capacity.main([verb, "--data", str(tmp_path / "videos.csv"), "--sample", str(sample)])


def test_hosts_have_ports_of_their_own():
    assert len(set(capacity._free_ports(50))) == 50


def test_a_net_may_have_another_width():
    assert plan_capacity.SMALL.architecture.width == 16
    assert capacity.Net("sr18", None, 8, 56, 8).architecture == capacity.get_architecture("sr18")

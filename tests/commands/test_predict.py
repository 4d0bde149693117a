"""`predict` on lists and folders, with timelines and events, and on streams."""

import csv
import functools
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from keras_res3d import StreamingPredictor, find_events, load_model, predict_video
from keras_res3d.commands import predict_rows
from keras_res3d.commands.main import main
from keras_res3d.data.sources import addresses, camera
from keras_res3d.tables import as_json
from tests.data.servers import http_answer, once, serving


@pytest.fixture(scope="module")
def long_video(tmp_path_factory, make_video):
    """Dark, bright and dark again, two seconds each at 25 frames a second."""
    rng = np.random.default_rng(0)
    levels = np.repeat([40, 210, 40], 50)
    frames = np.clip(rng.normal(levels[:, None, None, None], 12, (150, 40, 48, 3)), 0, 255).astype(np.uint8)
    return make_video(tmp_path_factory.mktemp("long") / "long.mp4", frames)


def printed(capsys):
    return capsys.readouterr().out


def test_lists_and_folders_in_one_call(trained, two_classes, tmp_path, capsys):
    names = [f"bright/clip ü {number}.mp4" for number in (0, 1)]
    (two_classes / "list.txt").write_text("\n".join([*names, "gone.mp4"]))
    (tmp_path / "list.csv").write_text(f"label;Video\nx;{two_classes / names[0]}\n")
    (tmp_path / "broken.csv").write_text("a,b\n1,2\n")
    words = [two_classes / "list.txt", tmp_path / "broken.csv", tmp_path / "list.csv", two_classes / "dark"]
    try:
        assert main(["predict", str(trained), *map(str, words), "--csv", "--clips", "1", "--top", "1"]) == 1
    finally:
        (two_classes / "list.txt").unlink()
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert "list.txt: 3 videos" in captured.err and "expected a column path or video" in captured.err
    bad = [row["video"] for row in rows if row["error"]]
    assert sorted(bad) == sorted([str(tmp_path / "broken.csv"), str(two_classes / "gone.mp4")])
    good = [row for row in rows if not row["error"]]
    dark = sorted(map(str, (two_classes / "dark").iterdir()))
    assert [row["video"] for row in good] == [*(str(two_classes / name) for name in (*names, names[0])), *dark]
    assert [row["label"] for row in good] == ["bright"] * 3 + ["dark"] * 4
    assert {(row["rank"], row["clips"]) for row in good} == {("1", "1")}
    assert all(float(row["score"]) > 0.5 for row in good)


def test_every_form_says_the_same(trained, two_classes, capsys):
    call = ["predict", str(trained), str(two_classes / "bright"), "--clips", "2"]
    assert main([*call, "--json"]) == 0
    array = printed(capsys)
    assert main([*call, "--jsonl"]) == 0
    lines = printed(capsys)
    assert json.loads(array) == [json.loads(line) for line in lines.splitlines()]
    assert array == as_json(json.loads(array))
    assert main([*call, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(printed(capsys))))
    flat = [(row["video"], best["label"], best["score"]) for row in json.loads(array) for best in row["predictions"]]
    assert [(row["video"], row["label"], float(row["score"])) for row in rows] == flat
    assert main([*call, "--csv", "--json"]) == 1 and "--json and --csv exclude each other" in capsys.readouterr().err


def test_rows_come_one_by_one(monkeypatch):
    """What is printed after each row is whole but for the array's end, and is not held back."""
    rows = [{"video": "a", "predictions": [{"class": 0, "label": "x", "score": 0.5}]}, {"video": "b", "error": "gone"}]
    columns = predict_rows.Columns(("video", "error"), lambda row: [row])
    seen = {}
    for form in ("json", "jsonl", "csv"):
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        with predict_rows.Rows(form, columns, None) as printer:
            printer.add(rows[0])
            after_one = out.getvalue()
            printer.add(rows[1])
        seen[form] = (after_one, out.getvalue())
    assert json.loads(seen["json"][0] + "]") == rows[:1] and json.loads(seen["json"][1]) == rows
    assert json.loads(seen["jsonl"][0]) == rows[0] and len(seen["jsonl"][1].splitlines()) == 2
    assert seen["csv"] == ("video,error\na,\n", "video,error\na,\nb,gone\n")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with predict_rows.Rows("json", columns, None):
        pass
    assert json.loads(out.getvalue()) == []


def test_progress_is_told_on_stderr(monkeypatch, capsys):
    now = itertools.count(0, 40)
    monkeypatch.setattr(predict_rows.time, "monotonic", lambda: next(now))
    progress = predict_rows.Progress(10)
    for number in range(1, 6):
        progress.begin(number)
    said = capsys.readouterr()
    assert not said.out and said.err.splitlines() == [
        "1 of 10 videos are done, about 12 minutes are left", "3 of 10 videos are done, about 6 minutes are left"
    ]  # fmt: skip


def test_a_timeline_is_what_predict_video_gives(trained, long_video, tmp_path, capsys):
    shutil.copy(long_video, tmp_path / "x.mp4")
    call = ["predict", str(trained), str(tmp_path / "x.mp4"), "--step", "3", "--timeline"]
    assert main([*call, str(tmp_path / "scores"), "--timeline_format", "png,json"]) == 0
    assert main([*call, str(tmp_path / "scores" / "x.csv")]) == 0
    expected = predict_video(trained, long_video, step=3)
    with open(tmp_path / "scores" / "x.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["start", "end", "seconds", "bright", "dark"] and len(lines) == len(expected.seconds) > 40
    table = np.float64(lines)
    assert table[:, :2] == pytest.approx(expected.extents, abs=6e-4)
    assert table[:, 2] == pytest.approx(expected.seconds, abs=6e-4)
    assert table[:, 3:] == pytest.approx(expected.probabilities, abs=1e-5)
    found = json.loads((tmp_path / "scores" / "x.json").read_text())
    assert np.array([clip["scores"] for clip in found["clips"]]) == pytest.approx(table[:, 3:])
    assert Image.open(tmp_path / "scores" / "x.png").format == "PNG"


def test_events_of_a_video(trained, long_video, tmp_path, capsys):
    call = ["predict", str(trained), str(long_video), "--step", "2", "--threshold", "0.6", "--event-classes", "bright"]
    assert main([*call, "--json", "--timeline", f"{tmp_path}/", "--timeline_format", "png,json"]) == 0
    (row,) = json.loads(printed(capsys))
    (event,) = row["events"]
    # A clip is 7 frames long: it is bright, or half bright, from 1.72 to 4.28 seconds at the most.
    assert event["label"] == "bright" and 1.7 < event["start"] < 2.1 and 3.9 < event["end"] < 4.3
    (same,) = find_events(predict_video(trained, long_video, step=2), 0.6, classes=["bright"])
    assert (same.start, same.end, same.mean) == pytest.approx((event["start"], event["end"], event["mean"]), abs=1e-3)
    assert row["timeline"] == [str(tmp_path / "long.png"), str(tmp_path / "long.json")]
    assert json.loads((tmp_path / "long.json").read_text())["events"] == row["events"]
    assert main([*call, "--csv"]) == 0
    (line,) = csv.DictReader(io.StringIO(printed(capsys)))
    assert line == {"video": str(long_video), "error": "", **{name: str(value) for name, value in event.items()}}
    assert main(call) == 0
    assert f"{event['start']:.2f} to {event['end']:.2f} s  bright, mean" in printed(capsys)
    assert main([*call, "--min_seconds", "9"]) == 0 and "no events" in printed(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--timeline", "x.jpg"], "--timeline is x.jpg; expected a name that ends in .png, .csv or .json, or a folder"),
        (["--timeline", "x.csv", "--timeline_format", "png"], "whose end says the format"),
        (["--timeline", "x", "--timeline_format", "png,gif"], "--timeline_format is gif"),
        (["--timeline_format", "png"], "without --timeline"),
        (["--min_seconds", "1"], "--min_seconds is for events, which --threshold asks for"),
        (["--threshold", "0.5", "--low_threshold", "0.6"], "the low one at most as high"),
        (["--threshold", "0.5", "--event_classes", "fire"], "there is no class 'fire'; the model has ['bright',"),
        (["--seconds", "3"], "--seconds is for a camera or a stream"),
        (["--frames", "1000000000"], "frames is 1000000000; expected a whole number from 1 to 10,000"),
        (["--stride", "1000000000"], "stride is 1000000000; expected a whole number from 1 to 1,000,000"),
        (["--crop", "1000000"], "expected sides from 1 to 16,384 pixels"),
        (["--fps", "0"], "fps is 0.0; expected None (frames as stored) or a rate from 0.001 to 10,000 frames a second"),
        (["--fps", "nan"], "fps is nan; expected"),
        (["--fps", "1e12"], "expected None (frames as stored) or a rate from 0.001 to 10,000 frames a second"),
    ],
)
def test_flags_that_do_not_fit_stop_before_the_first_video(trained, long_video, flags, message, capsys):
    assert main(["predict", str(trained), str(long_video), *flags]) == 1
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_one_file_is_no_timeline_of_two_videos(trained, long_video, capsys):
    assert main(["predict", str(trained), str(long_video), str(long_video), "--timeline", "x.csv"]) == 1
    assert "one file, and there are 2 videos; expected a folder, and --timeline_format csv" in capsys.readouterr().err


@pytest.fixture
def patient(monkeypatch):
    """No prediction is left out, however slow the machine is."""
    monkeypatch.setattr(camera, "_BEHIND_SECONDS", 1e9)


@pytest.fixture(scope="module")
def stream_data(tmp_path_factory, make_video):
    """The bytes of an MPEG-TS of 60 frames, dark, then bright, and its file."""
    levels = np.repeat([40, 210], 30)
    frames = np.clip(np.random.default_rng(1).normal(levels[:, None, None, None], 12, (60, 40, 48, 3)), 0, 255)
    path = tmp_path_factory.mktemp("stream") / "x.ts"
    make_video(path, frames.astype(np.uint8), codec="mpeg2video", options={"qscale": "3"})
    return path


def test_a_stream_scores_as_its_recording(trained, stream_data, patient, capsys):
    with serving(once(http_answer([stream_data.read_bytes()]))) as port:
        address = f"http://me:s3cret@127.0.0.1:{port}/live"
        flags = ["--jsonl", "--step", "4", "--smoothing", "0", "--seconds", "2"]
        assert main(["predict", str(trained), address, *flags]) == 0
    captured = capsys.readouterr()
    rows = list(map(json.loads, captured.out.splitlines()))
    classifier = load_model(trained)
    with_file = list(StreamingPredictor(classifier, every=4, smoothing=0).play(stream_data))
    start = with_file[0][0] - rows[0]["seconds"]
    expected = [(seconds - start, scores) for seconds, scores in with_file if seconds - start <= 2]
    assert [row["seconds"] for row in rows] == pytest.approx([seconds for seconds, _ in expected], abs=1e-3)
    for row, (_, scores) in zip(rows, expected, strict=True):
        found = {best["class"]: best["score"] for best in row["predictions"]}
        assert [found[number] for number in range(2)] == pytest.approx(scores.tolist(), abs=1e-5)
    assert rows[0]["predictions"][0]["label"] == "dark" and rows[-1]["predictions"][0]["label"] == "bright"
    assert "s3cret" not in captured.out + captured.err and f"http://***@127.0.0.1:{port}/live" in captured.err
    assert f"{len(rows)} predictions in 2.0 s" in captured.err and "on average" in captured.err


def test_a_stream_that_is_lost_ends_with_its_summary_and_an_error(trained, stream_data, patient, capsys):
    with serving(once(http_answer([stream_data.read_bytes()]))) as port:
        assert main(["predict", str(trained), f"http://127.0.0.1:{port}/live", "--timeout", "1.5", "--csv"]) == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert len(rows) == 2 * 7 and list(rows[0]) == ["seconds", "rank", "class", "label", "score"]
    summary, error = captured.err.splitlines()[-2:]
    assert "60 frames, 7 predictions" in summary and "is lost after 60 frames" in error


def test_a_camera_of_this_machine_and_its_text(trained, patient, monkeypatch, capsys):
    monkeypatch.setitem(addresses.DEVICES, sys.platform, ("lavfi", {}))
    monkeypatch.setattr(addresses, "cameras", lambda: [("testsrc=rate=50:size=64x48,realtime", "x")])
    assert main(["predict", str(trained), "--camera", "x", "--seconds", "0.6", "--top", "1"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) >= 3 and all(line.split()[1] == "s" and float(line.split()[0]) <= 0.6 for line in lines)
    assert captured.err.startswith("camera x: ")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--camera", "99"], 1, "camera 99: there is no"),
        (["ftp://me:pw@x/y"], 1, "ftp://***@x/y: addresses of ftp are not read"),
        (["rtsp://me:pw@x/y", "video.mp4"], 1, "its address is given alone"),
        (["--camera", "0", "video.mp4"], 2, "unexpected argument 'video.mp4'"),
        (["--camera", "0", "--timeline", "x.png"], 1, "--timeline: for videos alone"),
        (["rtsp://x/y", "--threshold", "0.5", "--clips", "3"], 1, "--clips, --threshold: for videos alone"),
        (["rtsp://x/y", "--timeout", "0"], 2, "flag --timeout=0"),
    ],
)
def test_wrong_calls_of_streams(trained, words, code, message, capsys):
    assert main(["predict", str(trained), *words]) == code
    captured = capsys.readouterr()
    assert message in captured.err and ":pw@" not in captured.err and not captured.out


def test_ctrl_c_ends_a_stream_with_a_summary_and_exit_code_0(trained, stream_data):
    data = stream_data.read_bytes()

    def endless():
        yield data
        threading.Event().wait(60)

    with serving(http_answer(endless())) as port:
        command = [sys.executable, "-m", "keras_res3d.commands.main", "predict", str(trained)]
        command += [f"http://127.0.0.1:{port}/live", "--timeout", "60"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        # What a shell starts in the background ignores the signal, and so would this child of it.
        heeding = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment, preexec_fn=heeding) as process:
            first = process.stdout.readline()
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert " s  dark " in first and "frames" in err.splitlines()[-1] and "Traceback" not in err, (first, err)

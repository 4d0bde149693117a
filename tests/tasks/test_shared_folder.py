"""Processes that fill one folder of features at once: real ones, killed ones, and what they leave."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

from keras_res3d.tasks.feature_folder import FORMAT, read_header, videos_in_parts
from keras_res3d.tasks.feature_parts.base import VideoRow
from keras_res3d.tasks.features import read_features
from keras_res3d.tasks.shared_folder import FeatureWriter

# A process without a net: it "computes" the number of each video that it claims. It takes a moment for each, waits for
# as many companions as it is told, and stops for ever at a video whose number is given last.
WORKER = """
import sys, time, types
import numpy as np
sys.path.insert(0, sys.argv[1])
from tests.tasks.test_shared_folder import HEADER, names, video
from keras_res3d.tasks import shared_folder
shared_folder.CLAIMED, shared_folder.PART_SECONDS = 3, 0.02
folder, count, companions, stop = sys.argv[2], *map(int, sys.argv[3:6])
with shared_folder.FeatureWriter(folder, HEADER, "list", names(count)) as writer:
    end = time.monotonic() + 30
    while len(list((writer.folder / ".claims").glob(".*.lock"))) < companions and time.monotonic() < end:
        time.sleep(0.01)
    for number in writer.claim():
        if number == stop:
            print("here", flush=True)
            time.sleep(60)
        time.sleep(0.01)
        writer.add(video(number))
print(writer.written, flush=True)
"""
HEADER = {
    "format": FORMAT, "model": {"net": "none", "digest": "0"}, "layers": {"number": 1}, "sampling": {"frames": 8},
    "step": 16, "per_clip": False, "normalized": False, "data": [],
}  # fmt: skip
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class video:
    """What came of a video: its number."""

    error = None

    def __init__(self, number, error=None):
        self.number, self.error = number, error
        self.values = {} if error else {"number": np.full((1, 1), number, np.float32)}
        self.seconds = np.zeros((0 if error else 1, 2))


def names(count, size=None):
    return [VideoRow(f"{i}.mp4", None, None, i, size, 0) for i in range(count)]


def start(folder, count, companions=1, stop=-1):
    command = [sys.executable, "-c", WORKER, ROOT, folder, str(count), str(companions), str(stop)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_three_processes_do_each_video_once(tmp_path):
    processes = [start(tmp_path, 60, companions=3) for _ in range(3)]
    done = [int(process.communicate()[0]) for process in processes]
    assert sum(done) == 60 and min(done) > 0
    features = read_features(tmp_path)
    assert features.values["number"][:, 0].tolist() == list(range(60))
    rows = sum(len(part) for part in [list(tmp_path.glob("*.npz"))])
    assert rows > 3 and not (tmp_path / ".claims").exists()


def test_what_a_killed_process_claimed_is_done_by_the_next(tmp_path):
    process = start(tmp_path, 12, stop=7)
    assert process.stdout.readline().strip() == "here"
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list((tmp_path / ".claims").glob("*.json"))
    before = len(read_features(tmp_path))
    assert 0 < before < 8
    with FeatureWriter(tmp_path, HEADER, "list", names(12)) as writer:
        numbers = list(writer.claim())
        for number in numbers:
            writer.add(video(number))
    assert len(numbers) == 12 - before and writer.before == before and writer.others == 0
    assert read_features(tmp_path).values["number"][:, 0].tolist() == list(range(12))
    assert not (tmp_path / ".claims").exists()


def test_what_a_living_process_claimed_is_left_to_it(tmp_path):
    process = start(tmp_path, 12, stop=1)
    assert process.stdout.readline().strip() == "here"
    with FeatureWriter(tmp_path, HEADER, "list", names(12)) as writer:
        numbers = list(writer.claim())
    done = len(read_features(tmp_path))  # 1 where the first video was written by then
    process.kill()
    process.wait()
    assert numbers == list(range(3, 12)) and writer.others == 3 - done


def test_a_claim_names_no_more_than_is_in_work(tmp_path, monkeypatch):
    """The claims of a long job would otherwise be a longer file with every eight videos."""
    monkeypatch.setattr("keras_res3d.tasks.shared_folder.PART_BYTES", 8)
    claimed = []
    with FeatureWriter(tmp_path, HEADER, "list", names(40)) as writer:
        for number in writer.claim():
            claimed.append(json.loads(next((tmp_path / ".claims").glob("*.json")).read_text()))
            writer.add(video(number, "cut short" if number == 3 else None))
    assert max(map(len, claimed)) <= 8 + 2 and all("3.mp4" in names for names in claimed)
    assert claimed[16] == sorted(f"{i}.mp4" for i in (3, 15, *range(16, 24)))


def test_a_bad_video_is_tried_once_in_a_run_and_again_in_the_next(tmp_path):
    for attempt in range(2):
        with FeatureWriter(tmp_path, HEADER, "list", names(3)) as writer:
            numbers = list(writer.claim())
            assert numbers == ([0, 1, 2] if attempt == 0 else [1])
            for number in numbers:
                writer.add(video(number, "cut short" if number == 1 else None))
            assert list(writer.claim()) == []
        assert writer.bad() == {"1.mp4": "cut short"}
    assert (tmp_path / "bad_videos.csv").read_text().splitlines() == ["path,reason", "1.mp4,cut short"]


def test_parts_stay_small(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_res3d.tasks.shared_folder.PART_BYTES", 8)
    with FeatureWriter(tmp_path, HEADER, "list", names(5)) as writer:
        for number in writer.claim():
            writer.add(video(number))
    assert len(list(tmp_path.glob("*.npz"))) == 3
    assert len(videos_in_parts(tmp_path, read_header(tmp_path))) == 5

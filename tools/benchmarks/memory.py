"""Peak memory of `keras-res3d extract`: by the length of a video, and by the number of videos.

Every case is a process of its own, whose highest resident memory (VmHWM) Linux counts. Videos and net are small, so
that whatever was kept of a video would stand out beside what TensorFlow itself takes. Clips of all frames would be 282
MB at ten minutes and 602 MB at 2,000 videos.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from benchmarks.decode import FPS, write_video
from benchmarks.results import Missing, Result

STATUS = pathlib.Path("/proc/self/status")
SECONDS = {"one video of 10 seconds": 10, "one video of 1 minute": 60, "one video of 10 minutes": 600}
COUNTS = {"100 videos of 1 second": 100, "500 videos of 1 second": 500, "2,000 videos of 1 second": 2_000}
LAYERS = "pool5,prob"
HEIGHT, WIDTH = 48, 64
CHILD = """
import re, sys
from keras_res3d.commands.main import main
code = main(["extract", *sys.argv[1:]])
print("peak kB", re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
sys.exit(code)
"""


def small_net(folder: pathlib.Path) -> pathlib.Path:
    """A narrow net for clips of 8 x 112 x 112, as a `.keras` file with its card."""
    import dataclasses

    import keras

    import keras_res3d

    keras.utils.set_random_seed(0)
    architecture = dataclasses.replace(keras_res3d.ZOO["sr18"], width=4)
    net = keras_res3d.build_model(architecture, input_shape=(8, 112, 112, 3), classes=2)
    keras_res3d.save_model(net, folder / "net.keras", labels=("a", "b"), sampling=keras_res3d.Sampling())
    return folder / "net.keras"


def long_video(folder: pathlib.Path, seconds: int) -> pathlib.Path:
    """A folder with one video of this length."""
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "0.mp4", "mpeg4", seconds * FPS, HEIGHT, WIDTH)
    return folder


def many_videos(folder: pathlib.Path, count: int) -> pathlib.Path:
    """A folder with so many videos of a second each, which are copies of one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_video(folder / "0.mp4", "mpeg4", FPS, HEIGHT, WIDTH)
    for number in range(1, count):
        shutil.copyfile(folder / "0.mp4", folder / f"{number}.mp4")
    return folder


def peak(net: pathlib.Path, videos: pathlib.Path, output: pathlib.Path, *flags: str) -> float:
    """Peak memory in MB of a process that extracts features of the videos in a folder.

    Raises:
        RuntimeError: the command failed; with what it printed.
    """
    words = [net, "--data", videos, "--unlabelled", "--layers", LAYERS, "--output", output, "--workers", "2", *flags]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CHILD, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    shutil.rmtree(output, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(f"keras-res3d extract failed: {done.stderr[-2000:]}")
    return int(done.stdout.rsplit("peak kB", 1)[1]) / 1024


def run(options) -> Iterator[Result | Missing]:
    """Yields the peaks of short and long videos, and of few and many, once: a peak hardly changes."""
    if not STATUS.exists():
        yield Missing("peak memory", f"{STATUS} is missing, where Linux counts it")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        net = small_net(folder)
        cases = {
            "length": {name: long_video(folder / name, seconds) for name, seconds in SECONDS.items()},
            "number": {name: many_videos(folder / name, count) for name, count in COUNTS.items()},
        }
        for what, videos in cases.items():
            for title, flags in (("", ()), (", --per_clip", ("--per_clip",))):
                peaks = {name: [peak(net, own, folder / "output", *flags)] for name, own in videos.items()}
                yield Result(f"peak memory of extract by {what} of videos{title}", peaks, unit="MB")

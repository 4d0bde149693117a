"""Extracts features of, scores and packs many videos of which some are broken, and watches memory and descriptors.

    python tools/load_test.py --plot load.png                # 2,000 videos, 5 % of them broken, every verb
    python tools/load_test.py extract --videos 200
    python tools/load_test.py --minutes 1 60                 # predict --timeline, of a video of each length

The videos are short and made on the spot, each with pixels of its own. The broken ones are broken in every way of
`BROKEN` in turn. Afterwards every good video has to have come out once, and every broken one has to be reported once;
else the exit code is 1. The plot shows, over the time of each verb, the memory and the open file descriptors of its
process and its children together.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
from benchmarks.decode import write_video
from benchmarks.memory import HEIGHT, WIDTH, long_video, small_net

from keras_res3d.data.open import read_data_set
from keras_res3d.tables import as_markdown
from keras_res3d.tasks.features import read_features

CLASSES = ("a", "b")
FRAMES = 20
PERIOD = 0.25  # seconds between two looks at a process


def write_short(path: pathlib.Path, seed: int) -> None:
    """A short video with pixels of its own."""
    write_video(path, "mpeg4", FRAMES, HEIGHT, WIDTH, seed)


def _audio_alone(path: pathlib.Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _huge(path: pathlib.Path) -> None:
    """One frame of 8000 x 8000 pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 8000, 8000, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(8000, 8000, "yuv420p")))
        container.mux(stream.encode(None))


def _changed(change: Callable[[bytes], bytes]) -> Callable[[pathlib.Path], None]:
    """A way that writes a good video first and changes its bytes."""

    def way(path: pathlib.Path) -> None:
        write_short(path, 0)
        path.write_bytes(change(path.read_bytes()))

    return way


def _many_samples(data: bytes) -> bytes:
    at = data.index(b"stsz") + 12
    return data[:at] + struct.pack(">I", 50_000_000) + data[at + 4 :]


def _no_picture(data: bytes) -> bytes:
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    return data[:begin] + bytes(end - begin) + data[end:]


# Nothing can be read of these. A video that a list names and that is not there is a fault of the list, told before all.
BROKEN: dict[str, Callable[[pathlib.Path], None]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no video\n" * 100),
    "audio alone": _audio_alone,
    "a playlist": lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\n/dev/zero\n"),
    "cut before its index": _changed(lambda data: data[: len(data) // 2]),
    "a flipped bit in the name of its index": _changed(lambda data: data.replace(b"moov", b"moow")),
    "claims 50 million samples": _changed(_many_samples),
    "pictures of zeros": _changed(_no_picture),
    "frames of 8000 x 8000": _huge,
}


def make_videos(folder: pathlib.Path, count: int, share: float) -> tuple[list[str], dict[str, str]]:
    """Class folders of videos: (names of the good ones, how each broken one is broken)."""
    good, broken, every = [], {}, round(1 / share)
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
    for way, make in BROKEN.items():
        make(folder / f"{way}.mp4")
    for number in range(count):
        path = folder / CLASSES[number % len(CLASSES)] / f"{number:04}.mp4"
        name = path.relative_to(folder).as_posix()
        if number % every == every // 2:
            broken[name] = [*BROKEN][len(broken) % len(BROKEN)]
            shutil.copyfile(folder / f"{broken[name]}.mp4", path)
        else:
            write_short(path, number)
            good.append(name)
    for way in BROKEN:
        (folder / f"{way}.mp4").unlink()
    return good, broken


@dataclass(frozen=True)
class Watched:
    """A command that has ended.

    Attributes:
        output: what it printed, errors and all.
        seconds: when it was looked at, after its start.
        memory: resident memory in MB then, of the process and all that it has started.
        descriptors: their open file descriptors.
    """

    output: str
    seconds: list[float]
    memory: list[float]
    descriptors: list[int]

    def quarters(self, values: list[float]) -> tuple[float, float]:
        """The highest values in the second and in the last quarter: what grows with the work shows as a difference."""
        quarter = max(1, len(values) // 4)
        return max(values[quarter : 2 * quarter] or values), max(values[-quarter:])


def watch(folder: pathlib.Path, *words: object) -> Watched:
    """Runs `keras-res3d` with these words and looks at it until it ends."""
    command = [sys.executable, "-m", "keras_res3d.commands.main", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    seconds, memory, descriptors, began = [], [], [], time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            looks = [_look(number) for number in _family(process.pid)]
            seconds.append(time.monotonic() - began)
            memory.append(sum(found[0] for found in looks))
            descriptors.append(sum(found[1] for found in looks))
            time.sleep(PERIOD)
        log.seek(0)
        output = log.read()
    if process.returncode > 1:  # 1 says that a video could not be read
        raise RuntimeError(f"{' '.join(command)} ended with exit code {process.returncode}: {output[-2000:]}")
    return Watched(output, seconds, memory, descriptors)


def _family(number: int) -> list[int]:
    """A process and its descendants."""
    found = [number]
    for each in found:
        try:
            for thread in pathlib.Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:  # it has just ended
            continue
    return found


def _look(number: int) -> tuple[float, int]:
    """(MB of resident memory, open descriptors) of a process; nothing where it has just ended."""
    try:
        pages = int(pathlib.Path(f"/proc/{number}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir(f"/proc/{number}/fd"))
    except OSError:
        return 0.0, 0


def _extracted(output: pathlib.Path) -> tuple[list[str], list[str]]:
    with open(output / "bad_videos.csv", newline="") as file:
        return list(read_features(output).ids), [row["path"] for row in csv.DictReader(file)]


def _evaluated(output: pathlib.Path) -> tuple[list[str], list[str]]:
    with open(output / "videos.csv", newline="") as file:
        scored = [row["path"] for row in csv.DictReader(file)]
    return scored, [row["video"] for row in json.loads((output / "scores.json").read_text())["left_out_videos"]]


def _packed(output: pathlib.Path) -> tuple[list[str], list[str]]:
    left_out = json.loads((output / "manifest.json").read_text())["left_out"]
    return [os.fspath(each.path) for each in read_data_set(output).examples], [row["name"] for row in left_out]


# What each verb is called with, and how to tell (what came out, what it reported).
VERBS = {
    "extract": (("net.keras", "--layers", "pool5,prob"), _extracted),
    "evaluate": (("net.keras", "--clips", 1), _evaluated),
    "pack": ((), _packed),
}


def wrong(found: list[str], expected: list[str]) -> list[str]:
    """The videos that were told another number of times than once; folders in front of a name do not count."""
    times = Counter("/".join(name.split("/")[-2:]) for name in found)
    return sorted(name for name in {*times, *expected} if times[name] != (name in expected))


def load(verbs: list[str], count: int, share: float, plot: pathlib.Path | None) -> int:
    """Runs the verbs over the same videos and prints a table; returns how many videos were lost or told twice."""
    rows, watched, faults = [], {}, 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        good, broken = make_videos(folder / "videos", count, share)
        small_net(folder)
        print(f"{len(good)} good videos, {len(broken)} broken in {len(set(broken.values()))} ways", flush=True)
        for verb in verbs:
            words, outcome = VERBS[verb]
            seen = watched[verb] = watch(folder, verb, *words, "--data", "videos", "--output", verb)
            came, reported = outcome(folder / verb)
            lost = wrong(came, good) + wrong(reported, [*broken])
            faults += len(lost)
            for each in lost:
                print(f"{verb}: {each} ({broken.get(each, 'good')}) is lost or told twice")
            memory, open_files = seen.quarters(seen.memory), seen.quarters(seen.descriptors)
            rows.append([verb, f"{len(came):,}", len(reported), len(lost), f"{seen.seconds[-1]:.0f} s",
                         *(f"{value:,.0f}" for value in (*memory, *open_files))])  # fmt: skip
    header = ["verb", "came out", "reported", "lost or twice", "time"]
    quarters = [f"{what}, {when} quarter" for what in ("MB", "descriptors") for when in ("second", "last")]
    print(as_markdown(header + quarters, rows))
    if plot:
        draw(watched, plot)
    return faults


def draw(watched: dict[str, Watched], path: pathlib.Path) -> None:
    """Memory above, descriptors below, a column for each verb."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(watched), 4.5), layout="constrained")
    axes = figure.subplots(2, len(watched), sharex="col", sharey="row", squeeze=False)
    for (upper, lower), (verb, seen) in zip(axes.T, watched.items(), strict=True):
        upper.plot(seen.seconds, seen.memory, linewidth=1)
        lower.plot(seen.seconds, seen.descriptors, linewidth=1, color="tab:orange")
        upper.set_title(verb)
        lower.set_xlabel("seconds")
    axes[0, 0].set(ylabel="resident memory, MB", ylim=(0, 1.1 * max(max(seen.memory) for seen in watched.values())))
    axes[1, 0].set(ylabel="open file descriptors",
                   ylim=(0, 1.1 * max(max(seen.descriptors) for seen in watched.values())))  # fmt: skip
    figure.savefig(path, dpi=120)


def long_videos(minutes: list[float]) -> None:
    """Prints the highest memory of `predict --timeline` by the length of the video."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        small_net(folder)
        for length in minutes:
            long_video(folder / f"{length:g}", round(60 * length))
            seen = watch(folder, "predict", "net.keras", f"{length:g}/0.mp4", "--timeline", f"timeline{length:g}")
            rows.append([f"{length:g} min", f"{max(seen.memory):,.0f}", max(seen.descriptors),
                         f"{seen.seconds[-1]:.0f} s"])  # fmt: skip
    print(as_markdown(["length", "highest MB", "descriptors", "time"], rows))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verbs", nargs="*", metavar="VERB", help=f"of {', '.join(VERBS)} (all)")
    parser.add_argument("--videos", type=int, default=2_000, help="how many (%(default)s)")
    parser.add_argument("--share", type=float, default=0.05, help="of broken ones (%(default)s)")
    parser.add_argument("--plot", type=pathlib.Path, help="the picture to write")
    parser.add_argument("--minutes", type=float, nargs="+", help="lengths of single videos, in place of many videos")
    options = parser.parse_args(arguments)
    if unknown := set(options.verbs) - set(VERBS):
        parser.error(f"{', '.join(sorted(unknown))}; expected {', '.join(VERBS)}")
    if options.videos < 1 or not 0 < options.share <= 0.5:
        parser.error(f"--videos {options.videos} --share {options.share}; expected 1 or more, and above 0 to 0.5")
    if options.minutes:
        long_videos(options.minutes)
        return 0
    return int(load(options.verbs or list(VERBS), options.videos, options.share, options.plot) > 0)


if __name__ == "__main__":
    raise SystemExit(main())

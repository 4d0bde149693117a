"""Clips a second and core from packed shards, from video files, and from a pipeline that decodes whole videos first.

    python tools/benchmark_input.py                            # generated videos
    python tools/benchmark_input.py --data train.csv --rounds 9 --videos 40 --json input.json

One thread reads one random clip of every video, the contestants taking turns: A B C A B C. The last is what training
code around torchvision's read_video does, written with PyAV: every frame of the video is decoded to RGB, then a clip is
sampled and its frames are resized, by OpenCV as everywhere here. Seconds are the thread's own processor time, which
other work on the machine hardly touches; a ratio is the median of the rounds' own ratios. Then the pipeline itself is
measured with several threads and processes (--threads, --processes), which needs an idle machine: `benchmarks.scaling`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import av
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from benchmarks.results import Result, Table, show

from keras_res3d.data.clips import Sampling, random_clip
from keras_res3d.data.images import resize
from keras_res3d.data.open import read_data_set
from keras_res3d.data.pack import pack
from keras_res3d.data.transform import random_crop_and_mirror
from keras_res3d.data.types import DataSet
from keras_res3d.io import write_atomically

WHOLE = "whole videos, torchvision's way"


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, help="folder of class folders or CSV file (generated videos)")
    parser.add_argument("--videos", dest="count", type=int, default=24,
                        help="videos, evenly spread over the data (%(default)s)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (%(default)s)")
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip (%(default)s)")
    parser.add_argument("--stride", type=int, default=2, help="distance of a clip's frames in the video (%(default)s)")
    parser.add_argument("--threads", dest="pipeline_threads", type=int, nargs="*", default=[1, 2, 4],
                        help="of the pipeline (1 2 4)")  # fmt: skip
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2], help="of the pipeline (1 2)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement of these (%(default)s)")
    parser.add_argument("--json", type=pathlib.Path, help="write every round there")
    options = parser.parse_args(arguments)
    if min(options.count, options.rounds) < 1:
        parser.error(f"--videos {options.count} --rounds {options.rounds}; expected at least 1 each")
    return options


def generate(folder: pathlib.Path, count: int, frames: int = 60) -> pathlib.Path:
    """Fills a folder with `count` H.264 videos of 320 x 240 at 25 frames a second: a moving texture with noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        (folder / f"texture{number % 2}").mkdir(parents=True, exist_ok=True)
        texture = np.kron(rng.integers(0, 255, (60, 80, 3)), np.ones((4, 4, 1), int))
        with av.open(str(folder / f"texture{number % 2}" / f"{number:03d}.mp4"), "w") as container:
            stream = container.add_stream("h264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
            for shift in range(frames):
                pixels = np.roll(texture, 2 * shift, 1) + rng.integers(-8, 9, texture.shape)
                frame = av.VideoFrame.from_ndarray(np.clip(pixels, 0, 255).astype(np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return folder


def _subset(source, count: int, folder) -> DataSet:
    """A data set of `count` of the videos, as a list in `folder`.

    Args:
        source: a data set's path, or a list of files.
        count: videos, evenly spread.
        folder: where the list is written.
    """
    paths = source if isinstance(source, list) else [each.path for each in read_data_set(source).examples]
    places = np.unique(np.linspace(0, len(paths) - 1, count).astype(int))
    # Two classes, since one class alone would be warned of.
    lines = [f'"{pathlib.Path(paths[place]).resolve()}",{place % 2}' for place in places]
    lines.insert(0, "path,label")
    path = pathlib.Path(folder) / "videos.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_data_set(path)


def read_clips(data_set: DataSet, sampling: Sampling, seed: int) -> Iterator[np.ndarray]:
    """Yields one random clip of each video, as `training_batches` reads it."""
    for number in range(len(data_set)):
        rng = np.random.default_rng((seed, number))
        with data_set.open(number) as video:
            indices = random_clip(video.num_frames, sampling.frames, sampling.stride, rng.random())
            clip = next(video.clips([indices], size=sampling.resize))
        yield random_crop_and_mirror(clip, sampling.crop, rng)


def read_whole_videos(data_set: DataSet, sampling: Sampling, seed: int) -> Iterator[np.ndarray]:
    """Yields the same clips, every frame of the video decoded to RGB first."""
    for number, example in enumerate(data_set.examples):
        rng = np.random.default_rng((seed, number))
        with av.open(example.path, metadata_errors="replace") as container:
            container.streams.video[0].codec_context.thread_count = 1
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        indices = random_clip(len(frames), sampling.frames, sampling.stride, rng.random())
        clip = np.stack([resize(frames[i], sampling.resize) for i in indices])
        yield random_crop_and_mirror(clip, sampling.crop, rng)


def measure(contestants: dict[str, Callable], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of this thread for each contestant, (rounds,) each, after one round that does not count."""
    seconds = {name: [] for name in contestants}
    for number in range(-1, rounds):
        for name, read in contestants.items():
            start = time.thread_time()
            clips = sum(1 for _ in read(max(number, 0)))
            if number >= 0:
                seconds[name].append((time.thread_time() - start) / clips)
    return seconds


def against(seconds: dict[str, list[float]]) -> Iterator[Result]:
    """Yields each contestant beside the next slower one."""
    for fast, slow in itertools.pairwise(seconds):
        values = {name: [1e3 * value for value in seconds[name]] for name in (fast, slow)}
        yield Result(f"a clip from {fast} against {slow}, one thread's own time", values, slow, unit="ms")


def run(options) -> Iterator[Result | Table]:
    """Packs the videos into a temporary folder, measures, and yields the results."""
    from benchmarks import scaling

    sampling = Sampling(frames=options.frames, stride=options.stride)
    with tempfile.TemporaryDirectory() as folder:
        given = getattr(options, "videos", None)  # of benchmark.py
        source = given or options.data or generate(pathlib.Path(folder) / "generated", options.count)
        files = _subset(source, options.count, folder)
        start = time.perf_counter()
        manifest = pack(files, pathlib.Path(folder) / "shards", sampling.resize)
        print(f"{len(files)} videos, {manifest['frames']} frames, {manifest['bytes'] / 2**20:.1f} MB packed in "
              f"{time.perf_counter() - start:.1f} s; clips of {sampling.frames} frames, "
              f"{sampling.stride} apart in the video")
        shards = read_data_set(pathlib.Path(folder) / "shards")
        yield from against(measure(
            {
                "shards": lambda seed: read_clips(shards, sampling, seed),
                "files": lambda seed: read_clips(files, sampling, seed),
                WHOLE: lambda seed: read_whole_videos(files, sampling, seed),
            },
            options.rounds,
        ))  # fmt: skip
        counts = options.pipeline_threads, options.processes
        yield from scaling.tables(
            scaling.measure({"shards": shards, "files": files}, sampling, *counts, options.rounds, options.seconds)
        )


def main(arguments=None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    found = show(run(options))
    if options.json:
        write_atomically(options.json, json.dumps(found, indent=1) + "\n")
        print(f"wrote {options.json}")


if __name__ == "__main__":
    main()

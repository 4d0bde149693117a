"""Trains and runs S-CNN on made long videos, with the overlap loss and without it; or measures memory by length.

    python tools/detection.py --seeds 0 1 2          # mAP on made test videos, by seed and weight of the overlap loss
    python tools/detection.py --memory 10 60         # highest memory while videos of 10 and of 60 minutes are searched

The proposal and the classification network of a seed are trained once; each weight of the overlap loss has a
localization network of its own, which starts from the same classification network. Nothing is tuned on test videos.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

LENGTHS = (16, 32, 64)
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
NMS = 0.4


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="of data, weights and order (0 1 2)")
    parser.add_argument("--overlap", nargs="*", type=float, default=[1.0, 0.0], help="weights of its loss (1 0)")
    parser.add_argument("--train", type=int, default=60, help="videos to train on (%(default)s)")
    parser.add_argument("--test", type=int, default=16, help="videos to search (%(default)s)")
    parser.add_argument("--epochs", type=int, default=8, help="of two networks; the third has half (%(default)s)")
    parser.add_argument("--width", type=int, default=10, help="of the nets (%(default)s)")
    parser.add_argument("--memory", nargs="*", type=float, help="minutes of videos; nothing is trained then")
    parser.add_argument("--one", type=pathlib.Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _net(width: int):
    """The quickstart's net for windows of 16 frames: two moments are left in its last map."""
    import dataclasses

    from keras_res3d.quickstart import NET

    strides = ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
    return dataclasses.replace(NET, name="made", width=width, frames=16, strides=strides)


def _since(start: tuple[float, float]) -> tuple[float, float]:
    """Seconds since then by the clock, and of processor time."""
    return time.perf_counter() - start[0], time.process_time() - start[1]


def train(options: argparse.Namespace, seed: int, folder: pathlib.Path) -> dict[float, tuple]:
    """For each weight of the overlap loss the detector. What the three stages of each take is printed."""
    import dataclasses

    from keras_res3d.data.clips import Sampling
    from keras_res3d.tasks.detection.made import MadeVideos
    from keras_res3d.tasks.detection.run import load_detector
    from keras_res3d.tasks.detection.segment_data import Cutting
    from keras_res3d.tasks.detection.train import train_stage
    from keras_res3d.training.recipes import TrainingOptions

    videos = MadeVideos(options.train, seed=2 * seed)
    settings = TrainingOptions(epochs=options.epochs, batch_size=32, learning_rate=0.05, mirror=False, seed=seed)
    shared = {"net": _net(options.width), "cutting": Cutting(LENGTHS),
              "sampling": Sampling(frames=16, stride=1, resize=(32, 32), crop=(32, 32))}  # fmt: skip
    seconds, detectors = {}, {}
    for stage in ("proposal", "classification"):
        start = time.perf_counter(), time.process_time()
        train_stage(stage, videos, videos.annotations(), folder / stage, options=settings, background=2.0, **shared)
        seconds[stage] = _since(start)
    settings = dataclasses.replace(settings, epochs=max(1, options.epochs // 2), learning_rate=0.02)
    for overlap in options.overlap:
        start, own = (time.perf_counter(), time.process_time()), folder / f"overlap{overlap:g}"
        own.mkdir()
        os.symlink(folder / "proposal", own / "proposal")
        train_stage("localization", videos, videos.annotations(), own / "localization", start=folder / "classification",
                    options=settings, background=2.0, overlap=overlap, **shared)  # fmt: skip
        took = {**seconds, "localization": _since(start)}
        parts = ", ".join(f"{stage} {wall:.0f} s" for stage, (wall, _) in took.items())
        wall, processor = (sum(column) for column in zip(*took.values(), strict=True))
        print(f"seed {seed}, overlap loss {overlap:g}: the three stages took {wall:.0f} s, {processor:.0f} s of "
              f"processor time: {parts}", flush=True)  # fmt: skip
        detectors[overlap] = load_detector(own)
    return detectors


def score(options: argparse.Namespace, seed: int, detectors: dict) -> dict[float, np.ndarray]:
    """mAP of each detector at each threshold, on videos that were not trained on."""
    from keras_res3d.tasks.detection.evaluate import evaluate_detections
    from keras_res3d.tasks.detection.made import MadeVideos
    from keras_res3d.tasks.detection.moments import joined
    from keras_res3d.tasks.detection.run import detect_actions
    from keras_res3d.tasks.detection.window_weights import RELEASED_SECONDS, window_weights

    known = MadeVideos(options.train, seed=2 * seed).annotations()
    seconds = {length: RELEASED_SECONDS[length] for length in LENGTHS}
    weights = window_weights(np.diff(known.spans)[:, 0], known.labels, known.classes, seconds)
    videos, reached = MadeVideos(options.test, seed=2 * seed + 1), {}
    settings = {"nms": NMS, "window_weights": weights, "batch_size": 64}
    for overlap, detector in detectors.items():
        found = []
        for number, example in enumerate(videos.examples):
            with videos.open(number) as video:
                found.append(detect_actions(detector, video, example.path, **settings))
        reached[overlap] = evaluate_detections(joined(found), videos.annotations(), thresholds=THRESHOLDS).mean
        print(f"seed {seed}, overlap loss {overlap:g}: mAP at 0.5 {reached[overlap][THRESHOLDS.index(0.5)]:.3f}",
              flush=True)  # fmt: skip
    return reached


def experiment(options: argparse.Namespace) -> None:
    """Trains, runs and scores each seed, and prints tables: of each seed, and of their mean and deviation."""
    from keras_res3d.tables import as_text

    reached = []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as name:
            reached.append(score(options, seed, train(options, seed, pathlib.Path(name))))
    head = ["overlap loss", *(f"mAP at {threshold:g}" for threshold in THRESHOLDS)]
    rows = [[str(seed), f"{overlap:g}", *(f"{value:.3f}" for value in values)]
            for seed, scores in zip(options.seeds, reached, strict=True) for overlap, values in scores.items()]
    print(as_text(["seed", *head], rows))
    if len(reached) < 2:
        return
    rows = []
    for overlap in options.overlap:
        values = np.array([scores[overlap] for scores in reached])
        columns = zip(values.mean(axis=0).tolist(), values.std(axis=0, ddof=1).tolist(), strict=True)
        rows.append([f"{overlap:g}", *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in columns)])
    print(f"\nmean of {len(reached)} seeds ± standard deviation from seed to seed")
    print(as_text(head, rows))


def _bright(clips: np.ndarray) -> np.ndarray:
    """Stands in for a network, so that reading alone is measured: every window is an action or none by its light."""
    level = clips.reshape(len(clips), -1).mean(axis=1, dtype=np.float64) / 255
    return np.stack([1 - level, level], axis=1)


def search_one(path: pathlib.Path) -> None:
    """Searches a video, and prints what was found and the highest memory of this process."""
    from keras_res3d.cards import ModelCard
    from keras_res3d.data.clips import Sampling
    from keras_res3d.export.measure import peak_memory_bytes
    from keras_res3d.inference.classifier import Classifier
    from keras_res3d.tasks.detection.run import Detector, detect_actions
    from keras_res3d.tasks.detection.segment_data import Cutting

    card = ModelCard("light", ("background", "action"), Sampling(frames=16, stride=1))
    network = Classifier(_bright, card)
    start = time.perf_counter()
    found = detect_actions(Detector(network, network, Cutting()), path, proposal_score=0.5)
    highest, seconds = peak_memory_bytes() / 2**20, time.perf_counter() - start
    print(f"{path.stem} minutes: {highest:.0f} MiB at most, {seconds:.0f} s, {len(found)} moments")


def measure_memory(minutes: list[float]) -> None:
    """Writes a video of each length, in pictures as small as encoders take, and searches it in a process of its own."""
    from benchmarks.decode import write_video

    with tempfile.TemporaryDirectory() as name:
        for count in minutes:
            path = pathlib.Path(name, f"{count:g}.mp4")
            write_video(path, "mpeg4", frames=round(count * 60 * 25), height=48, width=64)
            subprocess.run([sys.executable, __file__, "--one", str(path)], check=True)


def main(arguments=None) -> None:
    """Measures and prints."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parse(arguments)
    if options.one:
        search_one(options.one)
    elif options.memory:
        measure_memory(options.memory)
    else:
        experiment(options)


if __name__ == "__main__":
    main()

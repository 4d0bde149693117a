"""Features from files end to end, beside decoding alone, the net alone, and a plain pipeline of OpenCV and torchvision.

All contestants read the same files, cut the same clips and run r3d_18 with the same random weights; the features are
pool5, averaged over a video's clips and divided by their length. The pipelines' features are compared by their cosine.
"""

from __future__ import annotations

import importlib.util
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.decode import write_video
from benchmarks.nets import set_threads
from benchmarks.results import NO_TORCH, Missing, Result
from benchmarks.timing import alternate

NET, LAYER, CLASSES, BATCH = "r3d_18", "pool5", 400, 16
VIDEOS, FRAMES = 4, 160  # generated ones
END_TO_END, DECODING, NETWORK = "end to end", "decoding alone", "network alone"
TORCH = "OpenCV and torchvision"
INT8 = {"OpenVINO int8": ("net.xml", "openvino"), "LiteRT int8": ("net.tflite", "litert")}


def torch_pipeline(net, paths, sampling) -> np.ndarray:
    """What one writes with OpenCV and torchvision: read a file, cut its clips, run the net, average."""
    import cv2
    import torch

    height, width = sampling.crop
    top, left = (sampling.resize[0] - height) // 2, (sampling.resize[1] - width) // 2
    mean, std = torch.tensor([0.43216, 0.394666, 0.37645]), torch.tensor([0.22803, 0.22145, 0.216989])
    rows = []
    for path in paths:
        capture, frames = cv2.VideoCapture(str(path)), []
        while True:
            found, frame = capture.read()
            if not found:
                break
            frame = cv2.resize(frame, sampling.resize[::-1])[top : top + height, left : left + width]
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        capture.release()
        starts = range(0, max(1, len(frames) - sampling.span + 1), sampling.frames * sampling.stride)
        clips = [np.stack(frames[start : start + sampling.span : sampling.stride]) for start in starts]
        found = []
        for first in range(0, len(clips), BATCH):
            batch = torch.from_numpy(np.stack(clips[first : first + BATCH])).float() / 255
            with torch.inference_mode():
                found.append(net(((batch - mean) / std).permute(0, 4, 1, 2, 3)).numpy())
        average = np.concatenate(found).mean(axis=0)
        rows.append(average / np.linalg.norm(average))
    return np.stack(rows)


def _torch_net(path: pathlib.Path):
    """torchvision's net without its classifier; its weights are written to `path`."""
    import torch
    import torchvision

    torch.manual_seed(0)
    net = getattr(torchvision.models.video, NET)(num_classes=CLASSES).eval()
    torch.save(net.state_dict(), path)
    net.fc = torch.nn.Identity()
    return net


class Pipeline:
    """This package's way from files to features, whose parts can be run alone.

    Args:
        model: as of `extract_features`.
        paths: of the videos.
        sampling: how clips are taken; None takes the model's own way.
        engine: as of `extract_features`.
    """

    def __init__(self, model, paths, sampling=None, engine="keras"):
        from keras_res3d.tasks.extract import Extraction
        from keras_res3d.tasks.feature_net import FeatureNet
        from keras_res3d.tasks.named_videos import name_videos, unlabelled_videos

        net = FeatureNet(model, [LAYER], engine, sampling=sampling)
        self.extraction = Extraction(net, batch_size=BATCH)
        self.data, self._clips = unlabelled_videos(paths), None
        self._names = name_videos(self.data)

    def end_to_end(self) -> np.ndarray:
        """From files to features, `(videos, 512)`."""
        found = self.extraction.videos(self.data, range(len(self.data)), self._names)
        return np.concatenate([video.values[LAYER] for video in sorted(found, key=lambda video: video.number)])

    def decode(self) -> int:
        """Reads every clip, without the net. Returns how many there are."""
        from keras_res3d.tasks.clip_stream import ClipStream

        stream = ClipStream(self.data, range(len(self.data)), self.extraction.sampling, self.extraction.step, 2 * BATCH)
        self._clips = sum(piece.clip is not None for piece in stream)
        return self._clips

    def network(self) -> None:
        """Runs the net on as many clips, which are in memory."""
        sampling = self.extraction.sampling
        clips = np.random.default_rng(0).integers(0, 256, (BATCH, sampling.frames, *sampling.crop, 3), np.uint8)
        count = self._clips or self.decode()
        for first in range(0, count, BATCH):
            self.extraction.net(clips[: min(BATCH, count - first)])


def _model(weights: pathlib.Path | None):
    """The net with the other's weights, where there are some, up to the layer."""
    import keras

    import keras_res3d

    keras.utils.set_random_seed(0)
    net = keras_res3d.build_model(NET, weights=weights and str(weights), input_shape=(8, 112, 112, 3), classes=CLASSES)
    return keras.Model(net.input, net.get_layer(LAYER).output, name=NET)


def _has_openvino() -> bool:
    return all(map(importlib.util.find_spec, ("openvino", "nncf")))


def _exports(folder: pathlib.Path, model, paths, sampling) -> Iterator[tuple[str, Pipeline]]:
    """Yields the int8 exports that can be made here, calibrated on clips of the files, four of each."""
    import keras_res3d
    from keras_res3d.cards import card_of
    from keras_res3d.data.evaluation import evaluation_clips

    clips = []
    for path in paths:
        with keras_res3d.open_video(path) as video:
            clips += list(evaluation_clips(video, sampling, 4))
    card = card_of(model, sampling=sampling)
    for name, (file, format) in INT8.items():
        if format == "openvino" and not _has_openvino():
            continue
        options = {"quantize": "int8", "card": card, "calibration": np.stack(clips), "check_clips": np.stack(clips)}
        keras_res3d.export_model(model, folder / file, format, **options)
        yield name, Pipeline(folder / file, paths)


def _agreement(features: dict[str, Callable], reference: str) -> Iterator[Result]:
    """Yields the lowest cosine of any video's features with the reference's, beside what another video's reach.

    A random net gives much the same features for all videos, so that a cosine near 1 alone says little. Without what
    the videos have in common, the mean of the reference's features, it tells one video from another.
    """
    rows = {name: function() for name, function in features.items()}
    for what, common in (("", 0.0), (", their common mean taken off", rows[reference].mean(axis=0))):
        units = {name: _unit(own - common) for name, own in rows.items()}
        lowest = {name: [float((own * units[reference]).sum(axis=1).min())] for name, own in units.items()}
        lowest.pop(reference)
        others = (units[reference] @ units[reference].T)[~np.eye(len(units[reference]), dtype=bool)]
        if others.size:
            lowest["another video's (highest)"] = [float(others.max())]
        yield Result(f"lowest cosine of a video's features with those of {reference}{what}", lowest, unit="")


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def run(options) -> Iterator[Result | Missing]:
    """Yields the results on the files given or on generated ones."""
    if not options.torch:
        yield NO_TORCH
    if not _has_openvino():
        yield Missing("OpenVINO int8", "pip install 'keras-res3d[openvino]'")
    set_threads(options.threads, options.torch)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = list(options.videos or [])
        for number in range(0 if paths else VIDEOS):
            paths.append(folder / f"{number}.mp4")
            write_video(paths[-1], "mpeg4", FRAMES, seed=number)
        yield from _compare(folder, paths, options)


def _compare(folder: pathlib.Path, paths, options) -> Iterator[Result]:
    import keras_res3d

    sampling = keras_res3d.Sampling(preprocessing="torchvision")
    torch_net = _torch_net(folder / "net.pth") if options.torch else None
    model = _model(folder / "net.pth" if options.torch else None)
    ours = Pipeline(model, paths, sampling)
    clips = ours.decode()
    title = f"{NET}, {len(paths)} files, {clips} clips of 8 x 112 x 112"
    parts = {END_TO_END: ours.end_to_end, DECODING: ours.decode, NETWORK: ours.network}
    times = alternate(parts, options.rounds, clock=options.clock)
    yield Result(f"{title}, float32", times, items=clips, item="clips")
    slower = [max(pair) for pair in zip(times[DECODING], times[NETWORK], strict=True)]
    over = [whole / part for whole, part in zip(times[END_TO_END], slower, strict=True)]
    yield Result("end to end, as a multiple of the slower of its two parts", {END_TO_END: over}, unit="x")
    pipelines = {"float32": ours, "bfloat16": Pipeline(model, paths, sampling, "bfloat16")}
    pipelines |= dict(_exports(folder, model, paths, sampling))
    features = {f"keras_res3d {name}": pipeline.end_to_end for name, pipeline in pipelines.items()}
    if torch_net is not None:
        features[TORCH] = lambda: torch_pipeline(torch_net, paths, sampling)
    reference = TORCH if torch_net is not None else "keras_res3d float32"
    times = alternate(features, options.rounds, clock=options.clock)
    yield Result(f"{title}, from files to features", times, reference, items=clips, item="clips")
    yield from _agreement(features, reference)

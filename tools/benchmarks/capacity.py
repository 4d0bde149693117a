"""The rates that tools/plan_capacity.py plans with, measured on a sample, in processor time where that can be."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace

import numpy as np

from keras_res3d.commands.common import import_keras_quietly
from keras_res3d.data.clips import Sampling, random_clip
from keras_res3d.data.open import read_data_set
from keras_res3d.data.pack import encode_video, pack
from keras_res3d.data.transform import random_crop_and_mirror
from keras_res3d.io import child_environment
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.zoo import get_architecture

RESIZE, QUALITY = (128, 171), 90  # as `keras-res3d pack` has them
# Steps before the clock starts: the first ones compile the net.
WARM = 3


@dataclass(frozen=True)
class Decoding:
    """What packing cost.

    Attributes:
        videos, frames: how many.
        seconds: of the videos' own time.
        processor: seconds of processor time to decode, resize and encode the frames.
        file_bytes, packed_bytes: of the video files, and of the frames as they are packed.
    """

    videos: int
    frames: int
    seconds: float
    processor: float
    file_bytes: int
    packed_bytes: int


def packing(paths: list[str]) -> Decoding:
    """Decodes and encodes each video as `keras-res3d pack` does, in this process; the first one also beforehand."""
    encode_video((paths[0], None, None, RESIZE, QUALITY))
    frames = seconds = processor = file_bytes = packed = 0
    for path in paths:
        begun = time.process_time()
        found = encode_video((path, None, None, RESIZE, QUALITY))
        processor += time.process_time() - begun
        frames += len(found.jpegs)
        # The last frame is shown as long as the others on average.
        seconds += float(found.seconds[-1] - found.seconds[0]) * len(found.jpegs) / max(1, len(found.jpegs) - 1)
        packed += sum(map(len, found.jpegs))
        file_bytes += os.path.getsize(path)
    return Decoding(len(paths), frames, seconds, processor, file_bytes, packed)


def clip_seconds(paths: list[str], frames: int, rounds: int = 3) -> float:
    """Processor seconds to read a random clip from packed shards of these videos; the best of some rounds."""
    sampling, best = Sampling(frames=frames), float("inf")
    with tempfile.TemporaryDirectory() as folder:
        # Two labels, since a list of one is warned of.
        rows = [(os.path.abspath(path), "ab"[number % 2]) for number, path in enumerate(paths)]
        listed = pathlib.Path(folder, "videos.csv")
        with open(listed, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label"), *rows])
        pack(read_data_set(listed), pathlib.Path(folder, "shards"), RESIZE, QUALITY, workers=1)
        shards = read_data_set(pathlib.Path(folder, "shards"))
        for seed in range(rounds):
            begun = time.process_time()
            for number in range(len(shards)):
                rng = np.random.default_rng((seed, number))
                with shards.open(number) as video:
                    indices = random_clip(video.num_frames, sampling.frames, sampling.stride, rng.random())
                    clip = next(video.clips([indices], size=sampling.resize))
                random_crop_and_mirror(clip, sampling.crop, rng)
            best = min(best, (time.process_time() - begun) / len(shards))
    return best


@dataclass(frozen=True)
class Net:
    """A net in training, as `train_steps` takes it.

    Attributes:
        name: of an architecture.
        width: to have in place of the architecture's own; None leaves it.
        frames, crop: of a clip.
        batch: clips in a step, over all hosts.
    """

    name: str
    width: int | None
    frames: int
    crop: int
    batch: int

    @property
    def architecture(self) -> Architecture:
        found = get_architecture(self.name)
        return found if self.width is None else replace(found, width=self.width)


@dataclass(frozen=True)
class Steps:
    """What a training step cost.

    Attributes:
        processor: seconds of processor time for a clip, over all hosts.
        clips_per_second: by the clock, over all hosts; other work on the machine slows it.
        sent: bytes a step that went over this machine's loopback device, those of other programs included.
    """

    processor: float
    clips_per_second: float
    sent: float


def train_steps(nets: list[Net], hosts: int = 1, steps: int = 8) -> list[Steps]:
    """Trains the nets one after another for some steps on the embedded data set, by as many processes as hosts."""
    workers = [f"localhost:{port}" for port in _free_ports(hosts)]
    with tempfile.TemporaryDirectory() as folder:
        task = {"nets": [vars(net) for net in nets], "steps": steps, "folder": folder}
        children = [subprocess.Popen([sys.executable, __file__, json.dumps(task)], env=_environment(workers, index),
                                     stdout=subprocess.DEVNULL)
                    for index in range(hosts)]  # fmt: skip
        codes = [child.wait() for child in children]
        if any(codes):
            raise RuntimeError(f"{nets} on {hosts} host(s) ended with {codes}")
        by_host = [json.loads(path.read_text()) for path in pathlib.Path(folder).glob("*.json")]
    return [_together(found, steps, net.batch) for net, found in zip(nets, zip(*by_host, strict=True), strict=True)]


def _free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now; all are held at once, so that no two are the same."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in held]


def _together(found: list[dict[str, float]], steps: int, batch: int) -> Steps:
    """What all hosts together took."""
    clips = steps * batch
    return Steps(sum(each["processor"] for each in found) / clips, clips / max(each["clock"] for each in found),
                 max(each["sent"] for each in found) / steps)  # fmt: skip


def _environment(workers: list[str], index: int) -> dict[str, str]:
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    return child_environment(TF_CONFIG=json.dumps(config) if workers[1:] else "", TF_CPP_MIN_LOG_LEVEL="3")


def _sent() -> int:
    """Bytes that the loopback device has sent; 0 where the system does not say."""
    try:
        lines = pathlib.Path("/proc/net/dev").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split(":")[1].split()[8]) for line in lines if line.strip().startswith("lo:")), 0)


def _child(nets: list[dict], steps: int, folder: str) -> None:
    """Trains each net, and writes down what they cost."""
    found = [_cost(Net(**net), steps, pathlib.Path(folder, f"run{number}")) for number, net in enumerate(nets)]
    pathlib.Path(folder, f"{os.getpid()}.json").write_text(json.dumps(found))


def _cost(net: Net, steps: int, folder: pathlib.Path) -> dict[str, float]:
    """What the steps after the first few cost this process."""
    import_keras_quietly()
    import keras

    from keras_res3d.data.clips import for_crop
    from keras_res3d.training.fit import prepare_net, train
    from keras_res3d.training.recipes import TrainingOptions

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.done = getattr(self, "done", 0) + 1
            if self.done in (WARM, WARM + steps):
                now = np.array([time.process_time(), time.perf_counter(), _sent()])
                if self.done == WARM:
                    self.begun = now
                else:
                    self.cost = now - self.begun

    several = bool(os.environ.get("TF_CONFIG"))
    options = TrainingOptions(iterations=WARM + steps, batch_size=net.batch,
                              strategy="multi_worker" if several else "none")  # fmt: skip
    data, sampling, clock = read_data_set("motion"), for_crop(net.frames, 1, net.crop), Clock()
    model = prepare_net(net.architecture, sampling, len(data.classes), options, len(data))
    train(model, data, sampling, folder, options, callbacks=[clock])
    return dict(zip(("processor", "clock", "sent"), clock.cost.tolist(), strict=True))


if __name__ == "__main__":
    _child(**json.loads(sys.argv[1]))

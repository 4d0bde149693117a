"""What a large data set costs before it is there: hours of decoding, size of shards, traffic, hours of training.

    python tools/plan_capacity.py measure --data train.csv --json rates.json
    python tools/plan_capacity.py plan --rates rates.json --videos 1133158 --seconds 10 --net res3d18 --clips 120000000
    python tools/plan_capacity.py check --data train.csv

`measure` packs a sample of your videos, reads clips of it, and trains a small net for some steps. `plan` multiplies,
and every line of its table says by what. `check` plans one half of the sample from the other half, one net from
another, and two hosts from one, and prints what came out beside it. Processor time is used where the clock would count
other work.

No rate has a default: they are those of `measure`, or your own (`--clips_per_second` of your GPU, from log.csv).
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace

from benchmarks import capacity

from keras_res3d.commands.common import import_keras_quietly
from keras_res3d.data.open import read_data_set
from keras_res3d.data.types import DataError
from keras_res3d.io import usable_cores
from keras_res3d.nets.counts import count_macs, count_params
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.tables import as_markdown
from keras_res3d.untrusted import Range, read_json

# A training step multiplies three times what the forward pass does: forward, gradients of inputs, gradients of weights.
PASSES = 3
NUMBER_BYTES = 4  # float32
# Small enough for a processor.
SMALL = capacity.Net("sr18", 16, 8, 56, 8)
CLASSES = 8  # of the embedded data set
OTHERS = (replace(SMALL, width=32), replace(SMALL, crop=80), capacity.Net("mc3", 16, 8, 56, 8))


@dataclass(frozen=True)
class Rates:
    """Measured.

    Attributes:
        frame_seconds: of processor time to decode, resize and encode a frame.
        frame_bytes: of a packed frame.
        fps: frames in a second of video.
        file_bytes: of the video files, for a second of video.
        clip_seconds: of processor time to read a training clip from shards.
        macs_per_second: multiply-accumulates of training that a device does: a core, or a GPU.
    """

    frame_seconds: float
    frame_bytes: float
    fps: float
    file_bytes: float
    clip_seconds: float
    macs_per_second: float


@dataclass(frozen=True)
class Work:
    """What is planned.

    Attributes:
        videos: how many.
        seconds: of each video that are decoded and packed.
        clips: that training takes in all: batch times steps.
        batch: clips in a step, over all devices.
        frames: of a clip.
        macs, parameters: of the net, for one clip.
        hosts, devices: machines, and GPUs in each.
    """

    videos: int
    seconds: float
    clips: int
    batch: int
    frames: int
    macs: int
    parameters: int
    hosts: int
    devices: int


def rates_of(found: capacity.Decoding, clip_seconds: float, macs_per_second: float) -> Rates:
    return Rates(found.processor / found.frames, found.packed_bytes / found.frames, found.frames / found.seconds,
                 found.file_bytes / found.seconds, clip_seconds, macs_per_second)  # fmt: skip


def training_rate(macs: int, clips_per_second: float) -> float:
    """Multiply-accumulates a second of a device that trains so many clips a second."""
    return PASSES * macs * clips_per_second


def traffic_of_step(parameters: int, hosts: int) -> float:
    """Bytes that each host sends in a step: a ring sums the gradients in 2 (H - 1) pieces of 1 / H."""
    return 2 * (hosts - 1) / hosts * NUMBER_BYTES * parameters


def plan(work: Work, rates: Rates) -> list[tuple[str, float, str, str]]:
    """(what, value, unit, by what it was multiplied) for each cost."""
    frames = work.videos * work.seconds * rates.fps
    clips_per_hour = work.hosts * work.devices * 3600 * rates.macs_per_second / (PASSES * work.macs)
    hours, steps = work.clips / clips_per_hour, work.clips / work.batch
    sent = traffic_of_step(work.parameters, work.hosts)
    per_host = clips_per_hour / 3600 / work.hosts
    return [
        ("frames", frames, "frames", "videos x seconds x fps"),
        ("video files", work.videos * work.seconds * rates.file_bytes / 1e12, "TB", "videos x seconds x file_bytes"),
        ("packing", frames * rates.frame_seconds / 3600, "core hours", "frames x frame_seconds"),
        ("shards", frames * rates.frame_bytes / 1e12, "TB", "frames x frame_bytes"),
        ("training", hours * work.hosts * work.devices, "device hours",
         f"clips x {PASSES} x MACs / macs_per_second"),
        ("training, all devices", hours, "hours", "device hours / (hosts x devices)"),
        ("reading clips", work.clips * rates.clip_seconds / 3600, "core hours", "clips x clip_seconds"),
        ("cores for reading", per_host * rates.clip_seconds, "cores a host", "a host's clips a second x clip_seconds"),
        ("clips from storage", per_host * work.frames * rates.frame_bytes / 1e6, "MB/s a host",
         "a host's clips a second x frames x frame_bytes"),
        ("gradients", sent / 1e6, "MB a step and host", "2 (hosts - 1) / hosts x 4 bytes x parameters"),
        ("gradients", sent * steps / hours / 3600 / 1e6, "MB/s a host", "that x steps / seconds of training"),
    ]  # fmt: skip


def _macs(net: capacity.Net, classes: int | None = None) -> tuple[int, int]:
    shape = (net.frames, net.crop, net.crop, 3)
    return count_macs(net.architecture, shape, classes), count_params(net.architecture, classes, shape)


def _sample(data: pathlib.Path, count: int, least: int) -> list[str]:
    try:
        examples = read_data_set(data).examples
    except DataError as error:
        raise SystemExit(f"--data: {error}") from None
    if min(count, len(examples)) < least:
        raise SystemExit(f"--sample {count} of the {len(examples)} video(s) in {data}: at least {least} are needed")
    return [os.fspath(each.path) for each in examples[:: max(1, len(examples) // count)]][:count]


def measure(options) -> None:
    """Prints the rates of this machine on a sample, and writes them."""
    paths = _sample(options.data, options.sample, 1)
    import_keras_quietly()
    found = capacity.packing(paths)
    (steps,) = capacity.train_steps([SMALL])
    macs = training_rate(_macs(SMALL, CLASSES)[0], 1 / steps.processor)
    rates = rates_of(found, capacity.clip_seconds(paths, SMALL.frames), macs)
    print(f"{found.videos} videos, {found.frames} frames; {SMALL}, {usable_cores()} cores, load {_load()}")
    for name, value in asdict(rates).items():
        print(f"{name:<18} {value:.4g}")
    if options.json:
        options.json.write_text(json.dumps(asdict(rates), indent=1) + "\n")


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"


def show_plan(options) -> None:
    """Prints the plan as a table."""
    rates = options.rates
    net = capacity.Net(options.net, None, options.frames, options.crop, options.batch)
    macs, parameters = _macs(net, options.classes)
    if options.clips_per_second:
        rates = replace(rates, macs_per_second=training_rate(macs, options.clips_per_second))
    work = Work(options.videos, options.seconds, options.clips, options.batch, options.frames, macs, parameters,
                options.hosts, options.devices)  # fmt: skip
    print(f"{options.net}: {macs:,} MACs a clip, {parameters:,} parameters\n")
    print(as_markdown(["what", "value", "unit", "how"],
                      [[what, f"{value:,.4g}" if value < 1e6 else f"{value:,.0f}", unit, how]
                       for what, value, unit, how in plan(work, rates)]))  # fmt: skip


def check(options) -> None:
    """Prints planned and measured values side by side."""
    paths = _sample(options.data, options.sample, 2)  # one for each half
    import_keras_quietly()
    print(f"load before {_load()}, {usable_cores()} cores")
    base, other = capacity.packing(paths[::2]), capacity.packing(paths[1::2])
    rates, rows = rates_of(base, 0, 1), []
    rows.append(("packing the other half, s", other.frames * rates.frame_seconds, other.processor))
    rows.append(("its packed frames, MB", other.frames * rates.frame_bytes / 1e6, other.packed_bytes / 1e6))
    small, *others = capacity.train_steps([SMALL, *OTHERS])
    rate = training_rate(_macs(SMALL, CLASSES)[0], 1 / small.processor)
    for net, measured in zip(OTHERS, others, strict=True):
        planned = PASSES * _macs(net, CLASSES)[0] / rate
        name = f"{net.name}, width {net.width}, {net.crop} pixels, s a clip"
        rows.append((name, planned, measured.processor))
    (two,) = capacity.train_steps([SMALL], hosts=2)
    rows.append(("two hosts, s a clip", small.processor, two.processor))
    sent = 2 * traffic_of_step(_macs(SMALL, CLASSES)[1], 2)
    rows.append(("two hosts, MB a step sent by both", sent / 1e6, two.sent / 1e6))
    print(as_markdown(["what", "planned", "measured", "planned / measured"],
                      [[what, f"{a:.4g}", f"{b:.4g}", f"{a / b:.2f}"] for what, a, b in rows]))  # fmt: skip
    print(f"clips a second by the clock: one host {small.clips_per_second:.3g}, two {two.clips_per_second:.3g}; "
          f"load after {_load()}")  # fmt: skip


def _rates(path: str) -> Rates:
    """The rates in a file of `measure`, for argparse."""
    names = [each.name for each in fields(Rates)]
    try:
        found = read_json(path, dict.fromkeys(names, Range(1e-300, 1e300, whole=False)))
        return Rates(**{name: found[name] for name in names})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise argparse.ArgumentTypeError(f"{path}: {reason}; expected the file that measure --json wrote") from None


def _net(name: str) -> str:
    """The name of a net, for argparse."""
    try:
        return get_architecture(name).name
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _above_zero(kind: Callable[[str], float]) -> Callable[[str], float]:
    """A number of the kind above 0, for argparse."""

    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1e300:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r}; expected {what} above 0")
        return value

    return number


# The flags of `plan` that are numbers: kind, default (None: it must be given), what it is.
_NUMBERS = {
    "videos": (int, None, "how many there are"),
    "seconds": (float, None, "of each video that are decoded and packed, on average"),
    "clips": (int, None, "that training takes in all: batch times steps"),
    "frames": (int, 8, "of a clip"),
    "crop": (int, 112, "height and width of a clip in pixels"),
    "batch": (int, 40, "clips in a step, over all devices"),
    "classes": (int, 487, "of the data set"),
    "hosts": (int, 1, "machines that train together"),
    "devices": (int, 1, "GPUs, or cores, in each of them"),
}


def _define_plan(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(run=show_plan)
    verb.add_argument("--rates", type=_rates, required=True, metavar="FILE", help="what measure --json wrote")
    verb.add_argument("--net", type=_net, required=True, help="name of a net; keras-res3d models lists them")
    for name, (kind, default, text) in _NUMBERS.items():
        more = {"required": True} if default is None else {"default": default}
        text = text if default is None else f"{text} (%(default)s)"
        verb.add_argument(f"--{name}", type=_above_zero(kind), metavar="N", help=text, **more)
    verb.add_argument("--clips_per_second", type=_above_zero(float), metavar="N", help="that one device trains of this "
                      "net, from log.csv of a run (by default it follows from macs_per_second of --rates)")  # fmt: skip


def main(arguments=None) -> None:
    """Runs one of the three."""
    # TensorFlow's start-up messages say nothing about the rates; the environment can ask for them back.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, run in (("measure", measure), ("check", check)):
        verb = verbs.add_parser(name, help=run.__doc__)
        verb.set_defaults(run=run)
        verb.add_argument("--data", type=pathlib.Path, required=True, help="folder of class folders or CSV file")
        verb.add_argument("--sample", type=int, default=16, help="videos of it (%(default)s)")
    verbs.choices["measure"].add_argument("--json", type=pathlib.Path, help="write the rates there")
    _define_plan(verbs.add_parser("plan", help=show_plan.__doc__))
    options = parser.parse_args(arguments)
    options.run(options)


if __name__ == "__main__":
    main()

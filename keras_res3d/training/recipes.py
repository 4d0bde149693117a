"""How to train, as data: one dataclass of options, and the paper's and the released solvers' settings as rows of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from keras_res3d.data.augment import AUGMENTATIONS
from keras_res3d.data.clips import Sampling, for_crop, steps_per_epoch

# The most that a whole number may be: TensorFlow counts in 32 bits in places.
MOST = 2**31 - 1


def _option(default, help, low=None, below=None, above=None, high=None, choices=None):
    """A field with what a flag needs: its help, its range from `low` or above `above` to `high` or below `below`, or
    its values.
    """
    metadata = {"help": help, "low": low, "below": below, "above": above, "high": high, "choices": choices}
    return field(default=default, metadata=metadata)


def _augmentation(name: str, help: str):
    """A field for the strength of a row of `AUGMENTATIONS`; 0 leaves clips alone."""
    return _option(0.0, help, low=0, high=AUGMENTATIONS[name].most)


_BY_A_FACTOR = "The {} of a clip is multiplied by a factor from 1 minus this to 1 plus this. 0 leaves it alone."


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are the recipe "modern", which suits data sets of a few thousand clips.

    Every field is a flag of `keras-res3d train`; its metadata holds the help and the allowed values.

    Raises:
        ValueError: a value is out of its range; names the field.
    """

    recipe: str = _option("modern", "The name of the recipe that the settings come from.")
    epochs: int = _option(
        20, "The number of passes over the training videos. Given without --iterations, it replaces a recipe's.", low=1
    )
    iterations: int | None = _option(
        None, "The number of training steps in all. It takes precedence over --epochs.", low=1
    )
    batch_size: int = _option(8, "The number of clips in a step, over all replicas together.", low=1)
    clips_per_video: int = _option(
        1, "The number of random clips that an epoch takes of each video.", low=1, high=10_000
    )
    optimizer: str = _option(
        "sgd", "sgd is SGD with momentum and weight decay as in Caffe; adamw is Adam with decoupled weight decay.",
        choices=("sgd", "adamw"),
    )  # fmt: skip
    learning_rate: float = _option(0.01, "The highest learning rate of the run.", above=0, below=math.inf)
    schedule: str = _option(
        "cosine", "How the learning rate changes: cosine lets it fall to 0 along a cosine, step divides it every "
        "--divide_every steps, constant keeps it.", choices=("cosine", "step", "constant"),
    )  # fmt: skip
    divide_by: float = _option(
        10.0, "The number by which --schedule step divides the learning rate.", above=1, below=math.inf
    )
    divide_every: int = _option(20_000, "The number of steps between two divisions of --schedule step.", low=1)
    warmup: float = _option(
        0.05, "The share of all steps over which the learning rate first rises from 0.", low=0, below=1
    )
    momentum: float = _option(0.9, "The momentum of --optimizer sgd.", low=0, below=1)
    weight_decay: float = _option(
        5e-5, "The weight decay of the kernels of convolutions and of the classifier. Nothing else decays.",
        low=0, below=1,
    )  # fmt: skip
    bias_multiplier: float = _option(
        1.0, "The learning rate of biases other than the classifier's is multiplied by this.", low=0, below=math.inf
    )
    head_multiplier: float = _option(
        1.0, "The learning rate of the classifier's kernel is multiplied by this.", low=0, below=math.inf
    )
    head_bias_multiplier: float = _option(
        1.0, "The learning rate of the classifier's bias is multiplied by this.", low=0, below=math.inf
    )
    clip_norm: float = _option(
        0.0, "The largest norm of all gradients together; larger gradients are scaled down to it. 0 leaves gradients "
        "as they are.", low=0, below=math.inf,
    )  # fmt: skip
    ema: float = _option(
        0.0, "The momentum of an average of the weights over the steps; the averaged weights are scored and saved. "
        "0 averages nothing.", low=0, below=1,
    )  # fmt: skip
    label_smoothing: float = _option(
        0.0, "The share of the target that is spread evenly over all classes.", low=0, below=1
    )
    mixup: float = _option(
        0.0, "Each clip and its label are mixed with a neighbour's in the batch, by a share drawn from Beta(a, a), "
        "where a is this number. 0 mixes nothing.", low=0, below=math.inf,
    )  # fmt: skip
    smallest_area: float = _option(
        1.0, "Crops have a random shape and a random area, from this share of the frame up to all of it, and are "
        "resized. 1 takes the paper's crops, which have one size.", above=0, high=1,
    )  # fmt: skip
    mirror: bool = _option(True, "Half of the training clips are mirrored, where the classes allow it.")
    brightness: float = _augmentation("brightness", _BY_A_FACTOR.format("brightness"))
    contrast: float = _augmentation("contrast", _BY_A_FACTOR.format("contrast"))
    saturation: float = _augmentation("saturation", _BY_A_FACTOR.format("saturation"))
    hue: float = _augmentation(
        "hue", "The hues of a clip turn by up to this share of the circle either way. 0 leaves them alone."
    )
    grey: float = _augmentation("grey", "The share of training clips that lose their colours.")
    reverse: float = _augmentation(
        "reverse", "The share of training clips that are played backwards, where the classes allow it."
    )
    one_way: str | None = _option(
        None, "The classes whose clips --reverse leaves alone, with commas between them. Such are classes that would "
        "become others when played backwards.",
    )  # fmt: skip
    frames: int | None = _option(None, "The number of frames in a clip. By default it is the net's own.", low=1)
    stride: int | None = _option(
        None, "The distance of a clip's frames: 2 takes every second frame, which is the default.", low=1
    )
    largest_stride: int | None = _option(
        None, "The distance of a clip's frames is drawn from --stride up to this one, as far as the clip fits in the "
        "video. By default it is --stride.", low=1,
    )  # fmt: skip
    crop: int | None = _option(
        None, "The height and width of the crop in pixels. By default they are the net's own.", low=1
    )
    freeze: str | None = _option(
        None, "The groups of the net up to and including this one keep their weights. By default none is frozen.",
        choices=("conv1", "conv2", "conv3", "conv4", "conv5"),
    )  # fmt: skip
    early_stopping: int = _option(
        0, "Training stops after this many epochs without a better val_video@1 (val_mAP of several labels a "
        "video). 0 never stops early.", low=0
    )
    validation_clips: int = _option(1, "The number of evenly spread clips scored of each validation video.", low=1)
    precision: str = _option(
        "float32", "The type in which activations and gradients are computed. Weights are float32 in any case.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )  # fmt: skip
    fused_batch_norm: bool = _option(
        True, "Batch norm is trained by TensorFlow's fused kernel, which computes the same up to rounding, and faster."
    )
    jit_compile: str = _option(
        "auto", "Whether XLA compiles the training step. auto means on a single GPU, and not elsewhere.",
        choices=("auto", "on", "off"),
    )  # fmt: skip
    strategy: str = _option(
        "none", "mirrored trains on all GPUs of the machine, or on --cpu_replicas; multi_worker (train alone) trains "
        "on several hosts, each with all of its GPUs; none trains on one device.",
        choices=("none", "mirrored", "multi_worker"),
    )  # fmt: skip
    worker_timeout: float = _option(
        600.0, "With --strategy multi_worker, how many seconds a worker waits at the start for the others to come.",
        above=0, below=math.inf,
    )  # fmt: skip
    cpu_replicas: int = _option(
        0, "With --strategy mirrored, the number of logical processors that stand in for GPUs in a test. 0 takes GPUs.",
        low=0,
    )  # fmt: skip
    synchronized: bool = _option(
        True, "With --strategy mirrored or multi_worker, batch norm takes the clips of all replicas together."
    )
    steps_per_execution: int = _option(1, "The number of steps that one call of TensorFlow runs.", low=1)
    checkpoint_steps: int = _option(
        0, "A checkpoint is written every so many steps, besides the one after each epoch. 0 writes no others.", low=0
    )
    tensorboard: bool = _option(False, "TensorBoard's logs are written into the output folder.")
    workers: int | None = _option(
        None, "The number of videos that are decoded at a time. By default it is the number of cores, 16 at most.",
        low=1,
    )  # fmt: skip
    processes: int = _option(
        0, "The number of processes that decode the training videos, for machines with many cores. 0 decodes in the "
        "threads that --workers counts.", low=0,
    )  # fmt: skip
    on_bad_video: str = _option(
        "stop", "What a video that cannot be read does. stop ends the run with an error, and the run can go on later. "
        "skip takes a clip of another video in its place and lists the video in bad_videos.txt in the output folder.",
        choices=("stop", "skip"),
    )  # fmt: skip
    seed: int = _option(
        0, "The seed of new weights, of the videos' order, and of crops, mirroring, mixup and dropout.", low=0,
        high=2**32 - 1,
    )  # fmt: skip

    def __post_init__(self):
        for each in dataclasses.fields(self):
            _check(each.name, getattr(self, each.name), each.metadata)
        if self.cpu_replicas and self.strategy != "mirrored":
            raise ValueError(f"cpu_replicas is {self.cpu_replicas}; expected strategy 'mirrored' with it")

    def on_one_host(self, who: str) -> TrainingOptions:
        """These options, for what several hosts cannot do together.

        Args:
            who: does it, for the message.

        Raises:
            ValueError: they ask for several hosts.
        """
        if self.strategy == "multi_worker":
            raise ValueError(f"strategy is 'multi_worker', which train alone takes; {who} runs on one host")
        return self

    def total_steps(self, examples: int) -> int:
        """Steps of the whole run on so many training videos."""
        return self.iterations or self.epochs * self.steps_per_epoch(examples)

    def steps_per_epoch(self, examples: int) -> int:
        """Whole batches in the clips of one epoch."""
        return steps_per_epoch(examples * self.clips_per_video, self.batch_size)

    def sampling(self, frames: int, crop: int, preprocessing: str = "res3d") -> Sampling:
        """The recipe's clips; what it leaves open is the net's `frames` and `crop`, and a stride of 2."""
        return for_crop(self.frames or frames, self.stride or 2, self.crop or crop, preprocessing)


def _check(name, value, limits) -> None:
    choices, low, above, below, high = (limits[key] for key in ("choices", "low", "above", "below", "high"))
    if value is None:
        return
    if choices is not None and value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
    if isinstance(value, (str, bool)):
        return
    if low is not None and not value >= low:
        raise ValueError(f"{name} is {value}; expected {low} or more")
    if above is not None and not value > above:
        raise ValueError(f"{name} is {value}; expected more than {above}")
    if below is not None and not value < below:
        raise ValueError(f"{name} is {value}; expected less than {below:g}")
    high = MOST if high is None and isinstance(value, int) else high
    if high is not None and not value <= high:
        raise ValueError(f"{name} is {value}; expected {high:,.10g} or less")


# Caffe's solver: no warm-up; the released nets' classifiers learn their bias at twice the rate.
_CAFFE = TrainingOptions(schedule="step", warmup=0.0, batch_size=20, head_bias_multiplier=2.0)

_ROWS = (
    TrainingOptions(),
    # Section 4 of the paper. It does not name one stride for all nets; SR18 scores the same 46.1 in table 4 at stride 4
    # and in table 5, hence 4.
    dataclasses.replace(_CAFFE, recipe="ucf101_search", iterations=90_000, divide_every=20_000, stride=4),
    dataclasses.replace(_CAFFE, recipe="hmdb51_search", iterations=45_000, divide_every=10_000, stride=4),
    # The published net that was trained on UCF101 alone. Frames, stride, batch and iterations are known; the rest is
    # the paper's for UCF101 (`ucf101_search`).
    dataclasses.replace(
        _CAFFE, recipe="ucf101_scratch", iterations=90_000, divide_every=20_000, frames=8, stride=2, crop=112
    ),
    dataclasses.replace(
        _CAFFE, recipe="sports1m", iterations=3_000_000, divide_by=2.0, divide_every=250_000, batch_size=40,
        clips_per_video=5, frames=8, stride=2, crop=112,
    ),
    # The released fine-tuning solver; start from Sports-1M weights.
    dataclasses.replace(
        _CAFFE, recipe="finetune_ucf101", learning_rate=0.001, iterations=20_000, divide_every=5_000, batch_size=24,
        frames=8, stride=2, crop=112,
    ),
    # The three nets of S-CNN on THUMOS'14, 16 frames. The batch size of the first two is not in the released
    # description; 20 is Sports-1M's per GPU. The localization net's overlap loss is not part of these options.
    dataclasses.replace(
        _CAFFE, recipe="scnn_proposal", learning_rate=0.001, iterations=27_384, divide_by=2.0, divide_every=6_846,
        head_multiplier=10.0, head_bias_multiplier=20.0, frames=16, stride=1, crop=112,
    ),
    dataclasses.replace(
        _CAFFE, recipe="scnn_classification", learning_rate=0.001, iterations=14_704, divide_by=2.0, divide_every=3_676,
        head_multiplier=10.0, head_bias_multiplier=20.0, frames=16, stride=1, crop=112,
    ),
    dataclasses.replace(
        _CAFFE, recipe="scnn_localization", learning_rate=0.001, iterations=14_704, divide_by=2.0, divide_every=3_676,
        head_multiplier=10.0, head_bias_multiplier=20.0, frames=16, stride=1, crop=112, batch_size=8,
    ),
)

RECIPES = {row.recipe: row for row in _ROWS}


def recipe(name: str, **changes) -> TrainingOptions:
    """The row of that name with some fields replaced.

    A change of `epochs` alone also lifts the row's `iterations`, which would override it.

    Raises:
        ValueError: no such row, or a value out of range.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}; expected one of {', '.join(RECIPES)}")
    if "epochs" in changes and "iterations" not in changes:
        changes["iterations"] = None
    return dataclasses.replace(RECIPES[name], **changes)


def batch_norm_momentum(published: float | None, steps: int) -> float | None:
    """Momentum of the moving statistics for a run of `steps`.

    The released 0.999 is of a run of millions of steps, under Caffe's average, which corrects its own start. Keras'
    does not: after 300 steps it would still hold three quarters of its initial 0 and 1. So the average spans at most
    a tenth of the run.
    """
    return None if published is None else min(published, max(0.5, 1 - 10 / steps))

"""How to train, as data: one dataclass of options, and the paper's and the released solvers' settings as rows of it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from keras_res3d.data.clips import Sampling, for_crop


def _option(default, help, low=None, below=None, above=None, choices=None):
    """A field with what a flag needs: its help, its range [low, below) or (above, ...), its values."""
    metadata = {"help": help, "low": low, "below": below, "above": above, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are the recipe "modern", which suits data sets of a few thousand clips.

    Every field is a flag of `keras-res3d train`; its metadata holds the help and the allowed values.

    Raises:
        ValueError: a value is out of its range; names the field.
    """

    recipe: str = _option("modern", "What the settings started from.")
    epochs: int = _option(20, "Passes over the data.", low=1)
    iterations: int | None = _option(None, "Steps in all; overrides --epochs.", low=1)
    batch_size: int = _option(8, "Clips per step, over all replicas.", low=1)
    clips_per_video: int = _option(1, "Random clips of each video per epoch.", low=1)
    optimizer: str = _option("sgd", "sgd: Caffe's; adamw: decoupled decay.", choices=("sgd", "adamw"))
    learning_rate: float = _option(0.01, "Highest learning rate.", above=0, below=math.inf)
    schedule: str = _option(
        "cosine", "How the learning rate falls: a cosine to 0, in steps, not.", choices=("cosine", "step", "constant")
    )
    divide_by: float = _option(10.0, "Schedule step: by what the learning rate is divided.", above=1, below=math.inf)
    divide_every: int = _option(20_000, "Schedule step: iterations between divisions.", low=1)
    warmup: float = _option(0.05, "Share of the steps over which the learning rate rises from 0.", low=0, below=1)
    momentum: float = _option(0.9, "Of SGD.", low=0, below=1)
    weight_decay: float = _option(5e-5, "Of convolution and classifier kernels alone.", low=0, below=1)
    bias_multiplier: float = _option(1.0, "Learning rate of biases, times this.", low=0, below=math.inf)
    head_multiplier: float = _option(1.0, "Learning rate of the classifier's kernel times this.", low=0, below=math.inf)
    head_bias_multiplier: float = _option(
        1.0, "Learning rate of the classifier's bias, times this (not times --bias_multiplier).", low=0, below=math.inf
    )
    clip_norm: float = _option(0.0, "Largest norm of all gradients together; 0: any.", low=0, below=math.inf)
    ema: float = _option(0.0, "Momentum of averaged weights, which are then scored and saved; 0: none.", low=0, below=1)
    label_smoothing: float = _option(0.0, "Share of the target spread over all classes.", low=0, below=1)
    mixup: float = _option(0.0, "Clips are mixed in pairs by shares of Beta(a, a); 0: not.", low=0, below=math.inf)
    smallest_area: float = _option(
        1.0, "Crops of a random area, from this share of the frame to all of it, resized; 1: the paper's crops.",
        above=0, below=1.0000001,
    )  # fmt: skip
    mirror: bool = _option(True, "Mirror half of the clips, where the classes allow it.")
    frames: int | None = _option(None, "Frames per clip; by default the net's own.", low=1)
    stride: int | None = _option(None, "Every n-th frame is taken; by default 2.", low=1)
    crop: int | None = _option(None, "Height and width of the crop in pixels; by default the net's own.", low=1)
    freeze: str | None = _option(
        None, "The groups of the net up to and including this one keep their weights as they are.",
        choices=("conv1", "conv2", "conv3", "conv4", "conv5"),
    )  # fmt: skip
    early_stopping: int = _option(0, "Stop after so many epochs without a better val_video@1; 0: never.", low=0)
    validation_clips: int = _option(1, "Clips per validation video.", low=1)
    precision: str = _option(
        "float32", "Of activations and gradients; weights stay float32.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )  # fmt: skip
    fused_batch_norm: bool = _option(True, "Train with TensorFlow's fused batch norm: the same function, faster.")
    jit_compile: str = _option("auto", "XLA; auto: on a GPU.", choices=("auto", "on", "off"))
    strategy: str = _option("none", "mirrored: on all GPUs, or on --cpu_replicas.", choices=("none", "mirrored"))
    cpu_replicas: int = _option(0, "With --strategy mirrored: on so many logical CPUs, for tests.", low=0)
    synchronized: bool = _option(True, "With --strategy mirrored: batch norm over all replicas' clips.")
    steps_per_execution: int = _option(1, "Steps per call of TensorFlow.", low=1)
    checkpoint_steps: int = _option(0, "A checkpoint every so many steps as well; 0: after each epoch alone.", low=0)
    tensorboard: bool = _option(False, "Write TensorBoard's logs into the output folder.")
    workers: int | None = _option(None, "Videos decoded at a time; by default one per core.", low=1)
    seed: int = _option(0, "Of weights, order, crops, mirroring, mixup and dropout.", low=0)

    def __post_init__(self):
        for each in dataclasses.fields(self):
            _check(each.name, getattr(self, each.name), each.metadata)
        if self.cpu_replicas and self.strategy != "mirrored":
            raise ValueError(f"cpu_replicas is {self.cpu_replicas}; expected strategy 'mirrored' with it")

    def total_steps(self, examples: int) -> int:
        """Steps of the whole run on so many training videos."""
        return self.iterations or self.epochs * self.steps_per_epoch(examples)

    def steps_per_epoch(self, examples: int) -> int:
        """Whole batches in the clips of one epoch."""
        from keras_res3d.data.batches import steps_per_epoch  # TensorFlow, which --help can do without

        return steps_per_epoch(examples * self.clips_per_video, self.batch_size)

    def sampling(self, frames: int, crop: int, preprocessing: str = "res3d") -> Sampling:
        """The recipe's clips; what it leaves open is the net's `frames` and `crop`, and a stride of 2."""
        return for_crop(self.frames or frames, self.stride or 2, self.crop or crop, preprocessing)


def _check(name, value, limits) -> None:
    choices, low, above, below = (limits[key] for key in ("choices", "low", "above", "below"))
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


# Caffe's solver: no warm-up; the released nets' classifiers learn their bias at twice the rate.
_CAFFE = TrainingOptions(schedule="step", warmup=0.0, batch_size=20, head_bias_multiplier=2.0)

_ROWS = (
    TrainingOptions(),
    # Section 4 of the paper. Its search nets score the same in tables 4 (stride 4) and 5, hence the stride.
    dataclasses.replace(_CAFFE, recipe="ucf101_search", iterations=90_000, divide_every=20_000, stride=4),
    dataclasses.replace(_CAFFE, recipe="hmdb51_search", iterations=45_000, divide_every=10_000, stride=4),
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

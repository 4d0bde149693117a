"""`keras_res3d.search`: a hypermodel for KerasTuner whose candidates all meet one budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import keras

from keras_res3d.applications import build_model
from keras_res3d.data.clips import Sampling
from keras_res3d.export.measure import clip_seconds
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.counts import COUNTED, count_macs, solve_width
from keras_res3d.nets.zoo import get_architecture, mixed_temporal_kernels
from keras_res3d.training.compile import compile_by_recipe
from keras_res3d.training.recipes import TrainingOptions

# What a free search varies: by name the field of `Architecture` and, under the words that KerasTuner shows, its values.
CHOICES: dict[str, tuple[str, Mapping[str, object]]] = {
    "convolution": (
        "temporal_kernels",
        {"3d": (3,) * 5, **{f"mc{group}": mixed_temporal_kernels(group) for group in range(1, 6)}},
    ),
    "factorized": ("factorized", {"no": None, "2.5d": "2.5d"}),
    "depth": (
        "blocks",
        {"d10": (1, 1, 1, 1), "d16": (2, 2, 2, 1), "d18": (2, 2, 2, 2), "d26": (2, 3, 4, 3), "d34": (3, 4, 6, 3)},
    ),
}


class HyperModel:
    """Builds and compiles nets of a search space, each at the width of one budget: a hypermodel for KerasTuner.

        tuner = keras_tuner.RandomSearch(HyperModel("sr18", 3e5, classes=8, input_shape=(4, 32, 32, 3)),
                                         objective=keras_tuner.Objective("val_loss", "min"), max_trials=20)

    KerasTuner takes any callable of its hyperparameters, so that this module does without it.

    Args:
        net: what the candidates are variants of, a name of the zoo or an `Architecture`.
        target_params: the budget.
        classes: outputs.
        input_shape: `(frames, height, width, channels)`; None means the net's own.
        count: what the budget counts: "all" parameters, "live" ones, or live multiply-accumulates ("macs").
        choices: names of `CHOICES`, or a mapping like it: for each hyperparameter the field of `Architecture` and its
            values by name. None takes all of `CHOICES`.
        options: how nets are compiled.
        steps: of a run, which the learning rate's schedule needs.
        max_macs: candidates with more multiply-accumulates of a clip are refused as failed trials, of which KerasTuner
            takes 3 in a row unless it is told otherwise (`max_consecutive_failed_trials`).
        max_latency: candidates that need more seconds for a clip on this machine are refused alike.
        compile: called with (model, hyperparameters) in place of compiling by the options.

    Raises:
        ValueError: an unknown choice or count.
    """

    def __init__(
        self,
        net: str | Architecture,
        target_params: float,
        *,
        classes: int,
        input_shape: tuple | None = None,
        count: str = "all",
        choices=None,
        options: TrainingOptions | None = None,
        steps: int = 1000,
        max_macs: float | None = None,
        max_latency: float | None = None,
        compile: Callable | None = None,
    ):
        self.net = get_architecture(net)
        self.input_shape = tuple(input_shape or self.net.input_shape)
        self.target_params, self.classes, self.count = target_params, classes, count
        self.max_macs, self.max_latency = max_macs, max_latency
        self.options, self.steps, self._compile = options or TrainingOptions(), steps, compile
        unknown = [] if isinstance(choices, Mapping) else [name for name in choices or () if name not in CHOICES]
        if unknown or count not in COUNTED:
            raise ValueError(f"choices is {choices!r}, count is {count!r}; expected some of {', '.join(CHOICES)}, and "
                             f"one of {', '.join(COUNTED)}")  # fmt: skip
        chosen = CHOICES if choices is None else choices
        self.choices = dict(chosen) if isinstance(chosen, Mapping) else {name: CHOICES[name] for name in chosen}

    def __call__(self, hp) -> keras.Model:
        return self.build(hp)

    def architecture(self, hp) -> Architecture:
        """The net that the hyperparameters mean, at the width of the budget.

        Args:
            hp: KerasTuner's hyperparameters; `Choice(name, values)` is called for each choice.
        """
        fields = {field: values[hp.Choice(name, list(values))] for name, (field, values) in self.choices.items()}
        net = replace(self.net, **fields)
        width = solve_width(net, self.target_params, count=self.count, classes=self.classes,
                            input_shape=self.input_shape)  # fmt: skip
        return replace(net, width=width)

    def build(self, hp) -> keras.Model:
        """A compiled net.

        Raises:
            FailedTrialError: it is over `max_macs` or `max_latency`; ValueError where KerasTuner is missing.
        """
        net = self.architecture(hp)
        if reason := too_many_macs(count_macs(net, self.input_shape, self.classes), self.max_macs):
            raise _refusal()(reason)
        model = build_model(net, input_shape=self.input_shape, classes=self.classes)
        limit = self.max_latency
        if limit is not None and (reason := too_slow(clip_seconds(model, self.input_shape), limit)):
            raise _refusal()(reason)
        if self._compile is not None:
            self._compile(model, hp)
        else:
            compile_by_recipe(model, self.options, self.steps)
        return model

    def sampling(self) -> Sampling:
        """How the clips of the nets are taken, by the options."""
        return self.options.sampling(self.input_shape[0], self.input_shape[1])


def too_many_macs(macs: int, limit: float | None) -> str | None:
    """Why a candidate with so many multiply-accumulates of a clip is over a limit; None where it is not."""
    return None if limit is None or macs <= limit else f"{macs:,} multiply-accumulates, more than {limit:,.0f}"


def too_slow(seconds: float, limit: float | None) -> str | None:
    """Why a candidate that needs so many seconds for a clip is over a limit; None where it is not."""
    return None if limit is None or seconds <= limit else f"{1e3 * seconds:.1f} ms a clip, more than {1e3 * limit:.1f}"


def _refusal() -> type[Exception]:
    """What a trial that is not wanted raises: KerasTuner repeats one that ends in any other error."""
    try:
        from keras_tuner.errors import FailedTrialError
    except ImportError:
        return ValueError
    return FailedTrialError

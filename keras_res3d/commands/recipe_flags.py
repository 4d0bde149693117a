"""--recipe and a flag for every field of the training options, made from the fields themselves."""

from __future__ import annotations

import dataclasses

from absl import flags

from keras_res3d.training.recipes import RECIPES, TrainingOptions, recipe

FLAGS = flags.FLAGS
# --frames, --stride and --crop are flags of every verb that takes clips, and defined with those.
_SAMPLING = ("frames", "stride", "crop")


def _fields():
    return [each for each in dataclasses.fields(TrainingOptions) if each.name != "recipe"]


def define_recipe_flags() -> None:
    """--recipe, and each option with no default, so that the recipe's value shows through."""
    flags.DEFINE_enum("recipe", "modern", list(RECIPES), "The settings to start from. Each flag replaces one of them.")
    for each in _fields():
        if each.name in _SAMPLING:
            continue
        text = each.metadata["help"]
        if each.default is not None:
            value = {True: "on", False: "off"}[each.default] if each.type == "bool" else each.default
            text = f"{text} The recipe modern has {value}."
        kind = each.type.removesuffix(" | None")
        if each.metadata["choices"]:
            flags.DEFINE_enum(each.name, None, list(each.metadata["choices"]), text)
        else:
            define = {"int": flags.DEFINE_integer, "float": flags.DEFINE_float, "bool": flags.DEFINE_bool,
                      "str": flags.DEFINE_string}[kind]  # fmt: skip
            bound = {} if each.metadata["low"] is None else {"lower_bound": each.metadata["low"]}
            define(each.name, None, text, **bound)


def options_from_flags() -> TrainingOptions:
    """The recipe with what the flags say instead, --frames, --stride and --crop included.

    Raises:
        ValueError: a value is out of its range; names it.
    """
    changes = {each.name: FLAGS[each.name].value for each in _fields()}
    return recipe(FLAGS.recipe, **{name: value for name, value in changes.items() if value is not None})

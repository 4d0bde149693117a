"""--recipe and a flag for every field of the training options, made from the fields themselves."""

from __future__ import annotations

import dataclasses

from absl import flags

from keras_res3d.training.recipes import RECIPES, TrainingOptions, recipe

FLAGS = flags.FLAGS
# The sampling has flags of its own, which say more.
_ELSEWHERE = ("recipe", "frames", "stride", "crop")


def _fields():
    return [each for each in dataclasses.fields(TrainingOptions) if each.name not in _ELSEWHERE]


def define_recipe_flags() -> None:
    """--recipe, and each option with no default, so that the recipe's value shows through."""
    flags.DEFINE_enum("recipe", "modern", list(RECIPES), "Settings to start from; each flag below overrides one.")
    for each in _fields():
        text = f"{each.metadata['help']} In recipe modern: {each.default}." if each.default is not None else (
            each.metadata["help"]
        )
        kind = each.type.removesuffix(" | None")
        if each.metadata["choices"]:
            flags.DEFINE_enum(each.name, None, list(each.metadata["choices"]), text)
        else:
            define = {"int": flags.DEFINE_integer, "float": flags.DEFINE_float, "bool": flags.DEFINE_bool}[kind]
            bound = {} if each.metadata["low"] is None else {"lower_bound": each.metadata["low"]}
            define(each.name, None, text, **bound)


def options_from_flags() -> TrainingOptions:
    """The recipe with what the flags say instead. Raises ValueError on a value out of range."""
    changes = {each.name: FLAGS[each.name].value for each in _fields()}
    return recipe(FLAGS.recipe, **{name: value for name, value in changes.items() if value is not None})

"""--recipe and a flag for every field of the training options, made from the fields themselves."""

from __future__ import annotations

import dataclasses

from absl import flags

from keras_res3d.training.cluster import ALONE, Cluster, read_tf_config, set_tf_config
from keras_res3d.training.recipes import RECIPES, TrainingOptions, recipe

FLAGS = flags.FLAGS
# --frames, --stride and --crop are flags of every verb that takes clips, and defined with those.
_SAMPLING = ("frames", "stride", "crop")
# What concerns several hosts, which train alone takes.
_ACROSS_HOSTS = ("worker_timeout",)


class _WorkersParser(flags.ArgumentParser):
    """Takes a number of videos, or the addresses of hosts."""

    syntactic_help = "a number, or host:port,host:port,..."

    def parse(self, argument: str | int | tuple[str, ...] | None) -> int | tuple[str, ...] | None:
        if argument is None or not isinstance(argument, str):
            return argument
        if ":" in argument:
            return tuple(part.strip() for part in argument.split(","))
        if not argument.strip().isdecimal() or int(argument) < 1:
            raise ValueError("expected a number from 1 on, or the workers of a job as host:port,host:port")
        return int(argument)

    def flag_type(self) -> str:
        return self.syntactic_help


def define_host_flags(text: str) -> None:
    """--workers and --worker_index, which say what TF_CONFIG says; `text` is the help of --workers as a number."""
    flags.DEFINE(
        _WorkersParser(), "workers", None,
        f"{text} With --strategy multi_worker also the workers of the job, as host:port,host:port with the chief "
        "first, in place of TF_CONFIG; each decodes with all of its cores then.",
        serializer=flags.ArgumentSerializer(),
    )  # fmt: skip
    flags.DEFINE_integer(
        "worker_index", None, "With --workers host:port,host:port, which of them this one is, from 0.", lower_bound=0
    )


def join_hosts_from_flags() -> Cluster:
    """The hosts that train together; where --workers has their addresses, TF_CONFIG is set by it.

    Raises:
        ValueError: the flags do not go together, or TF_CONFIG is wrong.
    """
    addresses = FLAGS.workers if isinstance(FLAGS.workers, tuple) else ()
    if FLAGS.strategy != "multi_worker":
        if addresses or FLAGS.worker_index is not None:
            raise ValueError("--workers host:port and --worker_index go with --strategy multi_worker alone")
        return ALONE
    if addresses:
        set_tf_config(addresses, FLAGS.worker_index)
    elif FLAGS.worker_index is not None:
        raise ValueError(f"--worker_index is {FLAGS.worker_index}, and --workers host:port,host:port is missing")
    return read_tf_config()


def _fields():
    return [each for each in dataclasses.fields(TrainingOptions) if each.name != "recipe"]


def define_recipe_flags(*, across_hosts: bool = False) -> None:
    """--recipe, and each option with no default, so that the recipe's value shows through.

    Args:
        across_hosts: whether the verb trains on several hosts, and has the flags that say which.
    """
    flags.DEFINE_enum("recipe", "modern", list(RECIPES), "The settings to start from. Each flag replaces one of them.")
    for each in _fields():
        if each.name in _SAMPLING or (each.name in _ACROSS_HOSTS and not across_hosts):
            continue
        text = each.metadata["help"]
        if each.default is not None:
            value = {True: "on", False: "off"}[each.default] if each.type == "bool" else each.default
            text = f"{text} The recipe modern has {value}."
        kind = each.type.removesuffix(" | None")
        if each.name == "workers" and across_hosts:
            define_host_flags(text)
        elif each.metadata["choices"]:
            choices = [name for name in each.metadata["choices"] if across_hosts or name != "multi_worker"]
            flags.DEFINE_enum(each.name, None, choices, text)
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
    changes = {each.name: FLAGS[each.name].value for each in _fields() if each.name in FLAGS}
    given = {name: value for name, value in changes.items() if value is not None and not isinstance(value, tuple)}
    return recipe(FLAGS.recipe, **given)

"""The public names, signatures and flags of this package as lines of text, beside the list that is kept of them.

    python tools/public_api.py            # what differs from docs/public_api.txt; exit code 1 if anything does
    python tools/public_api.py --write    # keeps today's

docs/stability.md tells what is promised of the names on the list.
"""

from __future__ import annotations

import argparse
import inspect
import pathlib
import types

from absl import flags

import keras_res3d
from keras_res3d.commands.main import VERBS, flags_of
from keras_res3d.io import write_atomically
from keras_res3d.weights.catalog import ROWS

LIST = pathlib.Path(__file__).resolve().parents[1] / "docs" / "public_api.txt"
PACKAGE = keras_res3d.__name__


def lines() -> list[str]:
    """Every public name with its signature, the names of weights, every verb with its flags; a line each, sorted."""
    found = [line for name in keras_res3d.__all__ for line in _named(f"{PACKAGE}.{name}", getattr(keras_res3d, name))]
    published = [f"{each.net} weights={each.tag!r}" for each in ROWS]
    return [*sorted(found), *sorted(published), *(line for verb in sorted(VERBS) for line in _verb(verb))]


def _named(name: str, value: object) -> list[str]:
    if inspect.isclass(value):
        return [name + _signature(value), *_members(name, value)]
    if callable(value):
        return [name + _signature(value)]
    return [f"{name}[{key!r}]" for key in value]  # a table of rows


def _members(name: str, cls: type) -> list[str]:
    """The public methods and properties that a class has from this package, not from Keras or Python."""
    found: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] == PACKAGE:
            found |= {key: value for key, value in vars(base).items() if not key.startswith("_")}
    return [line for key, value in found.items() for line in _member(f"{name}.{key}", value)]


def _member(name: str, value: object) -> list[str]:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, types.FunctionType):
        return [name + _signature(value)]
    # A field of a dataclass stands in the signature of its class.
    return [name] if isinstance(value, property) or hasattr(value, "__get__") else []


def _signature(value: object) -> str:
    """Names, order, kinds and defaults of the parameters; annotations may become more exact at any time."""
    if inspect.isclass(value) and not isinstance(value.__init__, types.FunctionType):
        return ""  # an exception, whose parameters are those of Python's own
    signature = inspect.signature(value)
    plain = [each.replace(annotation=each.empty, default=_default(each.default)) for each in
             signature.parameters.values() if each.name not in ("self", "cls")]  # fmt: skip
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


class _Written:
    """A default that is written by its name, since its own text may hold an address."""

    def __init__(self, value: object) -> None:
        self.text = getattr(value, "__name__", "<made anew>")

    def __repr__(self) -> str:
        return self.text


def _default(value: object) -> object:
    plain = value is inspect.Parameter.empty or value is None or isinstance(value, bool | int | float | str | tuple)
    return value if plain else _Written(value)


def _verb(verb: str) -> list[str]:
    """The verb with its words, and each flag with its default."""
    with flags_of(verb) as (module, names):
        found = [f"keras-res3d {verb} --{name}={flags.FLAGS[name].default}" for name in sorted(names)]
    return [" ".join(["keras-res3d", verb, *module.USAGE.split()]), *found]


def differences(kept: list[str], today: list[str]) -> list[str]:
    """What stands on one list alone: "-" marks what is gone from today's, "+" what is new."""
    gone = [f"- {line}" for line in kept if line not in set(today)]
    return gone + [f"+ {line}" for line in today if line not in set(kept)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {LIST.name} anew")
    options, today = parser.parse_args(arguments), lines()
    found = differences(LIST.read_text().splitlines() if LIST.exists() else [], today)
    print("\n".join(found) or f"{len(today)} lines, none differs")
    if options.write:
        write_atomically(LIST, "\n".join(today) + "\n")
    return int(bool(found) and not options.write)


if __name__ == "__main__":
    raise SystemExit(main())

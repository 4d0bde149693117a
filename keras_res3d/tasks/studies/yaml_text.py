"""YAML as plain values: what JSON can say, each name once, numbers as they are written."""

from __future__ import annotations

import functools
import itertools
import re

from keras_res3d.untrusted import MAX_DEPTH

# YAML 1.1 reads 010 as 8 and 1:30 as 90; here these are strings, which no field of a study takes.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9_]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.I)
_NUMBERS = {"tag:yaml.org,2002:int": re.compile(rf"(?:{_INTEGER.pattern})$"),
            "tag:yaml.org,2002:float": re.compile(rf"(?:{_FLOAT.pattern})$", re.I)}  # fmt: skip


def parse_yaml(text: str) -> object:
    """The value of a YAML text, in which every name is a string as it is written: `010`, `~`, `yes`.

    Raises:
        ImportError: PyYAML is missing.
        ValueError: the reason why it is refused, in one line and with the place: no YAML, nested deeper than
            `MAX_DEPTH`, or a mapping that has a name twice, or one that is no string or number.
    """
    loader = _loader()
    # PyYAML takes seconds for some thousands of brackets inside one another.
    opened = itertools.accumulate(1 if each in "[{" else -1 for each in re.findall(r"[\[\]{}]", text))
    if max(opened, default=0) > MAX_DEPTH:
        raise ValueError(f"it is nested too deeply; expected up to {MAX_DEPTH} levels")
    try:
        return loader(text).get_single_data()
    except Exception as error:  # PyYAML raises what it stumbles over, such as IndexError of `!!int ""`
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        told = f"line {mark.line + 1}: {problem}" if mark and problem else f"{type(error).__name__}: {error}"
        raise ValueError(" ".join(told.split())) from error


@functools.cache
def _loader() -> type:
    import yaml

    class Loader(yaml.SafeLoader):
        def flatten_mapping(self, node):
            """Looks at a mapping's names once, before those come to it that `<<` takes from another mapping."""
            if not hasattr(node, "names"):
                node.names = set()
                for key, _ in node.value:
                    fault = _fault_of(key, node.names)
                    if fault is not None:
                        raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
            super().flatten_mapping(node)

    kept = {first: [(tag, pattern) for tag, pattern in rows if tag not in _NUMBERS]
            for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()}  # fmt: skip
    Loader.yaml_implicit_resolvers = kept
    for tag, pattern in _NUMBERS.items():
        Loader.add_implicit_resolver(tag, pattern, list("-+.0123456789"))
    return Loader


def _fault_of(key, names: set[str]) -> str | None:
    """What is wrong with a node that names a value; else the name is added to the names, and is a string."""
    if not isinstance(key.value, str):
        return "a list or a mapping is no name; expected a string"
    if key.value in names:
        return f"{key.value[:60]!r} twice in a mapping; expected each name once"
    names.add(key.value)
    if key.tag != "tag:yaml.org,2002:merge":
        key.tag = "tag:yaml.org,2002:str"
    return None

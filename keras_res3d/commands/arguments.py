"""The words of a command before absl parses them: usage lines, dashes in flags, what is missing, what was mistyped."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

from absl import flags

FLAGS = flags.FLAGS
HELP = ("--help", "-h", "-help", "--helpfull")


def suggestion(close: list[str]) -> str:
    """`; did you mean train?` of the words that are near a mistyped one; "" where there are none."""
    return f"; did you mean {' or '.join(close)}?" if close else ""


def close_to(word: str, known: Iterable[str]) -> list[str]:
    """At most two of the known words, those nearest to a mistyped one."""
    return difflib.get_close_matches(word, list(known), 2)


def _close_flags(typed: str, names: Iterable[str]) -> list[str]:
    """The flags nearest to a mistyped one, negations of boolean flags included."""
    negated = [f"no{name}" for name in names if FLAGS[name].boolean]
    return [f"--{name}" for name in close_to(typed.replace("-", "_"), [*names, *negated])]


def required_flags(usage: str) -> list[str]:
    """The flags that a usage line has outside brackets: `data` of `MODEL --data PATH [--flags]`."""
    return [name.replace("-", "_") for name in re.findall(r"--([\w-]+)", _outside_brackets(usage))]


def _outside_brackets(usage: str) -> str:
    return re.sub(r"\[[^]]*\]", " ", usage)


def _positionals(usage: str) -> list[str]:
    """The positional words of a usage line, without flags and their values."""
    return re.sub(r"--[\w-]+ \S+", " ", usage).replace("[", " ").replace("]", " ").split()


def _chosen(usage: str, given: set[str]) -> str:
    """The usage line with each choice made: of `VIDEO...|--camera` the word stays, unless --camera is given."""
    return re.sub(r"(\S+)\|--([\w-]+)", lambda found: "" if found[2].replace("-", "_") in given else found[1], usage)


def positional_faults(usage: str, given: list[str]) -> list[str]:
    """What is missing from the positional words, or is too many.

    Args:
        usage: such as `MODEL VIDEO... --data PATH`, `[get NAME]`; a word that ends in `...` stands for one or more.
        given: the words that are not flags.
    """
    needed, allowed = _positionals(_outside_brackets(usage)), _positionals(usage)
    if len(given) < len(needed):
        return [f"{name.removesuffix('...')} is missing" for name in needed[len(given) :]]
    if len(given) > len(allowed) and not any(name.endswith("...") for name in allowed):
        extra = " ".join(given[len(allowed) :])
        return [f"unexpected argument {extra!r}; expected {' '.join(allowed) or 'flags alone'}"]
    return []


def known_name(name: str) -> str | None:
    """A flag as absl spells it, `nomirror` for `no-mirror` included; None where there is no such flag."""
    name = name.replace("-", "_")
    if name in FLAGS:
        return name
    positive = re.sub(r"^no_?", "", name)
    if positive != name and positive in FLAGS and FLAGS[positive].boolean:
        return f"no{positive}"
    return None


def spelled_for_absl(arguments: list[str]) -> tuple[list[str], list[str], set[str], list[str]]:
    """The flags as absl spells them, told apart from the words.

    A word that begins with a dash is no flag where it follows `--`, or where no flag has its name and a file has it.

    Args:
        arguments: what follows the verb, as typed.

    Returns:
        (flags and their values, positional words, names of the flags that are given, unknown flags as typed). Values of
        flags, and words, stay as typed.
    """
    spelled, words, given, unknown, left = [], [], set(), [], iter(arguments)
    for argument in left:
        if argument == "--":
            words += left
        elif not argument.startswith("-") or not argument.strip("-"):
            words.append(argument)
        else:
            typed, equals, value = argument.lstrip("-").partition("=")
            name = known_name(typed)
            if name is None:
                (words if os.path.exists(argument) else unknown).append(argument)
                continue
            spelled.append(f"--{name}{equals}{value}")
            given.add(name)
            if not equals and name in FLAGS and not FLAGS[name].boolean:
                spelled += [value for value in [next(left, None)] if value is not None]
    return spelled, words, given, unknown


def parse(verb: str, usage: str, arguments: list[str], names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Parses the flags of a verb into FLAGS.

    Args:
        verb: its name, for messages.
        usage: its positional words and required flags; `WORD|--flag` needs the one or the other.
        arguments: what follows the verb.
        names: its own flags, which mistyped ones are compared with.

    Returns:
        (positional words, faults).
    """
    spelled, words, given, unknown = spelled_for_absl(arguments)
    usage = _chosen(usage, given)
    meant = {typed: _close_flags(typed.lstrip("-").partition("=")[0], names) for typed in unknown}
    faults = [_no_such_flag(typed, close) for typed, close in meant.items()]
    # The value of an unknown flag would be counted as a word.
    faults = faults or positional_faults(usage, words)
    # A required flag that was mistyped is not missing as well.
    mistyped = {name for close in meant.values() for name in close}
    missing = [name for name in required_flags(usage) if name not in given and f"--{name}" not in mistyped]
    faults += [f"--{name} is required: {_first_words(FLAGS[name].help)}" for name in missing]
    if faults:
        return words, faults
    try:
        FLAGS([verb, *spelled])
        return words, _empty(words, names)
    except (flags.Error, ValueError) as error:
        return words, [str(error)]


def _empty(words: list[str], names: Iterable[str]) -> list[str]:
    """What is given and has nothing in it, as a variable of a shell that is not set: as a path it would be the current
    folder."""
    faults = ["a word is empty; leave it out, or give what it stands for"] if "" in words else []
    given = [name for name in sorted(names) if FLAGS[name].present and FLAGS[name].value in ("", [], [""])]
    return [*faults, *(f"--{name} is empty: {_first_words(FLAGS[name].help)}" for name in given)]


def _no_such_flag(typed: str, close: list[str]) -> str:
    """A sentence about a word that begins with a dash, and is neither a flag nor a file."""
    name = typed.lstrip("-").partition("=")[0]
    return f"there is no flag --{name}{suggestion(close) or f', and no file {typed}'}"


def _first_words(text: str) -> str:
    """The first sentence of a flag's help, without its full stop."""
    return re.split(r"\.(?:\s|$)|;", text, maxsplit=1)[0]

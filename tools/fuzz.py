"""Feeds the parsers of this package damaged inputs, and counts what comes of them.

    python tools/fuzz.py card --seconds 60 --seed 0
    python tools/fuzz.py all --seconds 10 --findings findings      # ten seconds for each of them
    python tools/fuzz.py --list

Each parser runs in a process of its own. Inputs are good ones with flipped bits, cuts and repeats, and with changes
that know JSON, lists and zip archives. Columns of the table:

    same, changed   parsed without an error, to the value of the good input or to another one
    typed           an error of the kind that the parser promises, whose text names the file
    untyped         any other error: a fault
    hangs, crashes  the process stood still for 90 seconds, or died: a fault
    memory          the most memory that an input took, as a multiple of its size (of 4 KiB where it is smaller)
    slowest         seconds that the slowest input took, the start of measuring memory included

Of every fault the first input is kept, made smaller, in the folder of --findings, beside a text with its traceback. The
tool exits with 1 where there are faults.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from keras_res3d.tables import as_markdown
from tools.fuzzing.loop import COUNTS, Result, fuzzed
from tools.fuzzing.targets import TARGETS


def row_of(name: str, result: Result) -> list[str]:
    """A line of the table."""
    return [name, *(f"{result.counts[each]:,}" for each in COUNTS), f"{result.ratio:.0f}x", f"{result.slowest:.1f} s"]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="parsers, or all, or light: all that need no TensorFlow")
    parser.add_argument("--seconds", type=float, default=60, help="for each parser, at most")
    parser.add_argument("--inputs", type=int, default=math.inf, help="for each parser, at most; no bound by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=pathlib.Path, default=pathlib.Path("findings"), help="folder for the faults")
    parser.add_argument("--list", action="store_true", help="names the parsers, and ends")
    arguments = parser.parse_args(argv)
    names = [name for each in arguments.targets for name in _named(each)]
    if arguments.list or not names:
        print("\n".join(TARGETS))
        return 0
    rows, faults = [], []
    with tempfile.TemporaryDirectory(prefix="fuzz.") as folder:
        for name in names:
            start = time.monotonic()
            result = fuzzed(name, TARGETS[name], arguments.seconds, arguments.seed, pathlib.Path(folder),
                            arguments.findings, arguments.inputs)  # fmt: skip
            rows.append(row_of(name, result))
            faults += [f"{name}: {count} x {what}" for what, count in result.signatures.most_common()]
            print(f"{name}: {result.counts['inputs']:,} inputs in {time.monotonic() - start:.0f} s", file=sys.stderr)
    print(as_markdown(["parser", *COUNTS, "memory", "slowest"], rows))
    for fault in faults:
        print(fault)
    return int(bool(faults))


def _named(word: str) -> list[str]:
    """The targets that a word means."""
    if word in ("all", "light"):
        return [name for name, target in TARGETS.items() if word == "all" or not target.heavy]
    if word not in TARGETS:
        raise SystemExit(f"there is no parser {word}; there are {', '.join(TARGETS)}, all, light")
    return [word]


if __name__ == "__main__":
    sys.exit(main())

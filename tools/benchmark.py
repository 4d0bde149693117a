"""Compares this package with torchvision, Keras' own export, OpenCV and others, contestants taking turns: A B A B.

    python tools/benchmark.py                                  # every suite
    python tools/benchmark.py --suite nets --rounds 9 --json nets.json
    python tools/benchmark.py --suite decode --videos one.mp4 two.avi
    python tools/benchmark.py --suite all --write              # fills docs/benchmarks.md

A ratio is the reference's time divided by this package's, above 1 where this package is faster (of memory: where it
needs less); it is the median of the rounds' own ratios, with the lowest and the highest. Everything runs on the
processor. On a machine that does other work, OpenMP (torch) loses more than TensorFlow: compare on an idle one, or with
--threads 1 --cpu_time, which counts the process's own processor time instead of the clock on the wall.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import functools
import importlib
import importlib.util
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from benchmarks.page import page
from benchmarks.results import Missing, show
from benchmarks.timing import machine

from keras_res3d.io import usable_cores, write_atomically

TOOLS = pathlib.Path(__file__).resolve().parent
# A suite is a module with `run(options)`; see benchmarks/results.py.
SUITES = {"nets": "benchmarks.nets", "decode": "benchmarks.decode", "input": "benchmark_input",
          "features": "benchmarks.features", "export": "benchmark_export", "foreign": "benchmark_foreign",
          "trim": "benchmark_trim", "memory": "benchmarks.memory", "import": "benchmarks.imports"}  # fmt: skip
# Of a suite that takes longer than all the others, what runs with them.
SHORTER = {"foreign": ["--nets", "resnet18", "mobilenet"]}
PAGE = TOOLS.parent / "docs" / "benchmarks.md"


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=[*SUITES, "all"], default="all", help="what to measure (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (%(default)s)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of each framework (%(default)s: all)")
    parser.add_argument("--cpu_time", action="store_true", help="processor time, not wall time (nets, decode)")
    parser.add_argument("--dtypes", nargs="*", choices=["float32", "bfloat16"], help="of the nets (both)")
    parser.add_argument("--nets", nargs="*", help="of the suite foreign (eleven; two where all suites run)")
    parser.add_argument("--videos", nargs="*", type=pathlib.Path, help="files to read instead of generated ones")
    parser.add_argument("--json", type=pathlib.Path, help="write machine, medians, ratios and every round there")
    parser.add_argument("--write", nargs="?", type=pathlib.Path, const=PAGE, metavar="PAGE",
                        help="write the results as a page in Markdown (docs/benchmarks.md)")  # fmt: skip
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)  # of a run of all suites
    options = parser.parse_args(arguments)
    if options.write == PAGE and options.suite != "all":
        parser.error(f"--write fills {PAGE.name} by --suite all; give another file for --suite {options.suite}")
    if options.rounds < 1 or options.threads < 1:
        parser.error(f"--rounds {options.rounds} --threads {options.threads}; expected at least 1 each")
    if missing := [str(path) for path in options.videos or [] if not path.is_file()]:
        parser.error(f"--videos: no such file: {', '.join(missing)}")
    options.clock = time.process_time if options.cpu_time else time.perf_counter
    options.torch = importlib.util.find_spec("torchvision") is not None
    return options


def about(suite: str) -> str:
    """What a suite measures, as its module says."""
    source = TOOLS.joinpath(*SUITES[suite].split(".")).with_suffix(".py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n\n")[0]


def run_here(suite: str, options: argparse.Namespace) -> list[dict]:
    """Runs a suite in this process; its own flags have their defaults."""
    module = importlib.import_module(SUITES[suite])
    own = vars(module.parse([])) if hasattr(module, "parse") else {}
    given = {name: value for name, value in vars(options).items() if value is not None or name not in own}
    return show(module.run(argparse.Namespace(**{**own, **given})))


def run_apart(suite: str, options: argparse.Namespace) -> list[dict]:
    """Runs a suite in a process of its own: none disturbs another's memory and threads, or ends the others with it."""
    with tempfile.TemporaryDirectory() as folder:
        found = pathlib.Path(folder) / "found.json"
        words = [str(TOOLS / "benchmark.py"), "--suite", suite, *SHORTER.get(suite, []), *flags_of(options)]
        words += ["--part", "--json", str(found)]
        done = subprocess.run([sys.executable, *words], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return json.loads(found.read_text())["results"]
        print(done.stderr, file=sys.stderr)
        said = done.stderr.strip().splitlines() if done.returncode > 0 else []
        return show([Missing("the whole suite", said[-1] if said else f"it ended with code {done.returncode}")])


def flags_of(options: argparse.Namespace, path_text=str) -> list[str]:
    """The flags that change what a suite measures; `path_text` writes a path."""
    words = ["--rounds", str(options.rounds), "--threads", str(options.threads)]
    words += ["--cpu_time"] if options.cpu_time else []
    for name in ("dtypes", "nets"):
        words += [f"--{name}", *values] if (values := getattr(options, name)) else []
    return [*words, "--videos", *map(path_text, options.videos)] if options.videos else words


def main(arguments=None) -> None:
    """Measures, prints and writes."""
    options = parse(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    say = functools.partial(print, flush=True) if not options.part else lambda text: None
    facts = {**machine(), "threads": options.threads, "clock": "processor" if options.cpu_time else "wall"}
    say(", ".join(f"{name} {value}" for name, value in facts.items()))
    if (facts["load"] or 0) > 0.3 * facts["cores"]:
        say(f"note: the load is {facts['load']} before the run; other work shares these cores")
    run, suites = (run_apart, list(SUITES)) if options.suite == "all" else (run_here, [options.suite])
    found = []
    for suite in suites:
        say(f"\n{suite}")
        start = time.perf_counter()
        found.append({"suite": suite, "about": about(suite), "results": run(suite, options)})
        say(f"{suite} took {time.perf_counter() - start:.0f} s")
    if options.json:
        results = [{"suite": each["suite"], **result} for each in found for result in each["results"]]
        write_atomically(options.json, json.dumps({"machine": facts, "results": results}, indent=1) + "\n")
        say(f"\nwrote {options.json}")
    if options.write:
        flags = flags_of(options, lambda path: path.name)
        command = shlex.join(["python", "tools/benchmark.py", "--suite", options.suite, *flags, "--write"])
        write_atomically(options.write, page(facts, found, command, datetime.date.today().isoformat()))
        say(f"\nwrote {options.write}")


if __name__ == "__main__":
    main()

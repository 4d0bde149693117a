"""Compares this package with torchvision and OpenCV in one run, contestants taking turns: A B A B.

    python tools/benchmark.py                                  # every suite
    python tools/benchmark.py --suite nets --rounds 9 --json nets.json
    python tools/benchmark.py --suite decode --videos one.mp4 two.avi

A ratio is the reference's time divided by this package's, above 1 where this package is faster (of memory: where it
needs less); it is the median of the rounds' own ratios, with the lowest and the highest. Everything runs on the
processor. On a machine that does other work, OpenMP (torch) loses more than TensorFlow: compare on an idle one, or with
--threads 1 --cpu_time, which counts the process's own processor time instead of the clock on the wall.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from benchmarks.timing import machine, usable_cores

SUITES = {"nets": "benchmarks.nets", "decode": "benchmarks.decode", "import": "benchmarks.imports",
          "features": "benchmarks.features", "memory": "benchmarks.memory"}  # fmt: skip
# Tools of their own, each with a `main(arguments)` that prints its own table.
TOOLS = {
    "export": "benchmark_export",
    "foreign": "benchmark_foreign",
    "input": "benchmark_input",
    "trim": "benchmark_trim",
}


def parse(arguments=None) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    suites = [*SUITES, *TOOLS, "all"]
    parser.add_argument("--suite", choices=suites, default="all", help="what to measure (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (%(default)s)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of each framework (%(default)s: all)")
    parser.add_argument("--cpu_time", action="store_true", help="processor time, not wall time (nets, decode)")
    parser.add_argument("--dtypes", nargs="*", choices=["float32", "bfloat16"], help="of the nets (both)")
    parser.add_argument("--videos", nargs="*", type=pathlib.Path, help="files to read instead of generated ones")
    parser.add_argument("--json", type=pathlib.Path, help="write machine, medians, ratios and every round there")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error(f"--rounds {options.rounds} --threads {options.threads}; expected at least 1 each")
    if missing := [str(path) for path in options.videos or [] if not path.is_file()]:
        parser.error(f"--videos: no such file: {', '.join(missing)}")
    options.clock = time.process_time if options.cpu_time else time.perf_counter
    options.torch = importlib.util.find_spec("torchvision") is not None
    return options


def main(arguments=None) -> None:
    """Measures and prints."""
    options = parse(arguments)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    facts = {**machine(), "threads": options.threads, "clock": "processor" if options.cpu_time else "wall"}
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    if (facts["load"] or 0) > 0.3 * facts["cores"]:
        print(f"note: the load is {facts['load']} before the run; other work shares these cores")
    wanted = [*SUITES, *TOOLS] if options.suite == "all" else [options.suite]
    if not options.torch and {"nets", "import", "features"} & set(wanted):
        print("skipped: comparison with torchvision (it is not installed: pip install torch torchvision)")
    results = []
    for suite in wanted:
        print(f"\n{suite}", flush=True)
        if suite in TOOLS:
            importlib.import_module(TOOLS[suite]).main([])
            continue
        for result in importlib.import_module(SUITES[suite]).run(options):
            print(*result.lines(), sep="\n", flush=True)
            results.append({"suite": suite, **result.to_dict()})
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")
        print(f"\nwrote {options.json}")


if __name__ == "__main__":
    main()

"""Compare designs at one budget on your videos: train every candidate with every seed alike, and say what differs.

    keras-res3d search --study convolution --data motion --crop 32 --stride 1 --target_params 3e5 --output studies/conv
    keras-res3d search --study depth --layout ucf101 --data UCF-101 --lists ucfTrainTestlist --validation UCF-101 \\
        --recipe ucf101_search --output studies/depth
    keras-res3d search --study mine.yaml --data train.csv --validation test.csv --target_params 1e6 --count live \\
        --seeds 5 --output studies/mine

A study is one of the paper's (convolution, depth, resolution, sampling, dimension) or a JSON or YAML file with a base
net and the fields that each candidate varies. The width of each candidate is solved for the budget; without
--target_params the paper's widths are taken. Each run has a folder in --output, as train writes it. The same command
goes on with what is missing, repeats what failed, and may run in several processes at once, each on a GPU of its own.
results.csv and results.json have the figures of every run, report.html draws them.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from absl import flags

from keras_res3d.commands.common import import_keras_quietly
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.commands.recipe_flags import define_recipe_flags, options_from_flags
from keras_res3d.tables import as_text, printable

FLAGS = flags.FLAGS
USAGE = "--study STUDY --data PATH --output FOLDER"


def define_flags() -> None:
    from keras_res3d.nets.counts import COUNTED

    define_data_flags("Training videos")
    flags.DEFINE_string("study", None, "A study of the paper (convolution, depth, resolution, sampling, dimension), or "
                        "a JSON or YAML file of your own.")  # fmt: skip
    flags.DEFINE_string("output", None, "Folder that the study writes into. It is made where it is missing.")
    flags.DEFINE_float("target_params", None, "The budget that the width of every candidate is solved for, from 1e4 to "
                       "1e8 where it counts parameters (the widths of the paper by default).")  # fmt: skip
    flags.DEFINE_enum("count", "all", list(COUNTED), "What the budget counts: all parameters; live ones, which leave "
                      "out kernel taps that meet padding alone; or live multiply-accumulates of one clip.")  # fmt: skip
    flags.DEFINE_integer("seeds", 3, "The number of seeds that every candidate is trained with.", lower_bound=1)
    flags.DEFINE_integer("clips", 3, "Evenly spread clips that are scored of each held-out video.", lower_bound=1)
    flags.DEFINE_float("max_macs", None, "Leave out candidates with more multiply-accumulates for one clip.")
    flags.DEFINE_float("max_latency", None, "Leave out candidates that need more seconds for one clip here.")
    flags.DEFINE_string("reference", None, "Compare every candidate with this one alone, which takes fewer comparisons "
                        "than all pairs do.")  # fmt: skip
    flags.DEFINE_enum("measure", "video@1", ["video@1", "clip@1"], "The figure that candidates are compared by.")
    flags.DEFINE_string("against", None, "The folder of another study, with whose ranking this one's is compared.")
    flags.DEFINE_integer("frames", None, "Frames per clip (those of the recipe, else of the net, by default).",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("stride", None, "Distance of a clip's frames (that of the recipe, else 2, by default).",
                         lower_bound=1)  # fmt: skip
    flags.DEFINE_integer("crop", None, "Height and width of the crop in pixels (that of the recipe, else of the net, "
                         "by default).", lower_bound=1)  # fmt: skip
    flags.DEFINE_list("resize", None, "Height and width that frames are resized to before the crop, such as 32,32 (the "
                      "paper's proportion to the crop by default).")  # fmt: skip
    flags.DEFINE_integer("parallel", 1, "Processes that share the runs, with GPU 0, 1 and so on, one each; where "
                         "CUDA_VISIBLE_DEVICES is set, its GPUs are dealt out in turn.", lower_bound=1)  # fmt: skip
    define_recipe_flags()


def _sampling() -> dict:
    """What the flags say of the clips beyond frames and crop."""
    found = {}
    if FLAGS.stride is not None:
        found["stride"] = FLAGS.stride
    if FLAGS.resize is not None:
        if len(FLAGS.resize) != 2 or not all(side.strip().isdigit() for side in FLAGS.resize):
            raise ValueError(f"--resize is {','.join(FLAGS.resize)}; expected height and width, such as 32,32")
        found["resize"] = tuple(int(side) for side in FLAGS.resize)
    return found


def _plan_text(study, planned, options, data) -> str:
    """What is about to happen."""
    from keras_res3d.nets.counts import COUNTED

    what = "the paper's widths" if FLAGS.target_params is None else f"{FLAGS.target_params:,.0f} {COUNTED[FLAGS.count]}"
    steps, seeds = options.total_steps(len(data)), f"{FLAGS.seeds} seed{'s' * (FLAGS.seeds > 1)}"
    rows = [
        [each.name, str(each.net.width), f"{each.params:,}", f"{each.live_params:,}", f"{each.macs / 1e6:.1f}",
         f"{each.live_macs / 1e6:.1f}", "-" if each.off is None else f"{100 * each.off:+.1f} %"]
        for each in planned
    ]  # fmt: skip
    header = ["candidate", "width", "params", "live params", "MMACs", "live MMACs", "off the budget"]
    return (
        f"study {study.name}{f' ({study.source})' if study.source else ''}: {printable(study.question)}\n"
        f"{len(planned)} candidates at {what}, {seeds} each; recipe {options.recipe}, {steps:,} steps of "
        f"{options.batch_size} clips\n{as_text(header, rows)}"
    )


def _children(count: int) -> list[subprocess.Popen]:
    """Processes that make the same call: on GPU 0, 1 and so on, or on those that the environment names, in turn."""
    given = [word for name in FLAGS if FLAGS[name].present and name != "parallel"
             for word in FLAGS[name].serialize().splitlines() if word]  # fmt: skip
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")  # all where it is not set, none where it is empty
    devices = [str(number) for number in range(count)] if visible is None else visible.split(",")
    return [
        subprocess.Popen(
            [sys.executable, "-m", "keras_res3d.commands.main", "search", *given, "--parallel=1"],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": devices[number % len(devices)]},
        )
        for number in range(count)
    ]


def run(args: list[str]) -> int:
    if FLAGS.parallel > 1:
        return _run_in_parallel()
    import_keras_quietly()
    from keras_res3d.tasks.studies.budget import plan
    from keras_res3d.tasks.studies.read import read_study
    from keras_res3d.tasks.studies.search import search_architectures

    study, options, sampling = read_study(FLAGS.study), options_from_flags(), _sampling()
    data = data_from_flags("train")
    validation = data_from_flags("validation", data.classes) or _test_split()
    planned = plan(study, len(data.classes), options, FLAGS.target_params, FLAGS.count, sampling)
    _check_comparisons({each.name for each in planned})
    print(_plan_text(study, planned, options, data), flush=True)
    results = search_architectures(
        study, data, FLAGS.output, validation=validation, target_params=FLAGS.target_params, count=FLAGS.count,
        options=options, seeds=FLAGS.seeds, sampling=sampling, clips=FLAGS.clips, max_macs=FLAGS.max_macs,
        max_latency=FLAGS.max_latency, report=lambda line: print(line, flush=True),
    )  # fmt: skip
    return _show(results)


def _check_comparisons(names: set[str]) -> None:
    """Raises ValueError, before anything is trained, where --reference or --against does not fit the study."""
    from keras_res3d.tasks.studies.results import read_results

    if FLAGS.reference is not None and FLAGS.reference not in names:
        raise ValueError(f"--reference is {FLAGS.reference}; expected one of {', '.join(sorted(names))}")
    if FLAGS.against is not None:
        others = {each.name for each in read_results(FLAGS.against).scored}
        if len(names & others) < 2:
            raise ValueError(f"--against is {FLAGS.against}, whose scored candidates are {', '.join(sorted(others))}; "
                             "expected two of this study's or more")  # fmt: skip


def _test_split():
    """The test split of the embedded data that --data names; otherwise --validation is asked for."""
    from keras_res3d.data.open import embedded_test_split, read_data_set

    path = embedded_test_split(FLAGS.data) if FLAGS.layout is None else None
    if path is not None:
        return read_data_set(path)
    raise ValueError("--validation is required: held-out videos, which the nets are scored on")


def _run_in_parallel() -> int:
    from keras_res3d.tasks.studies.results import read_results

    children = _children(FLAGS.parallel)
    try:
        codes = [child.wait() for child in children]
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
    worst = max(1 if code < 0 else code for code in codes)  # a code below 0 is the signal that ended the process
    return worst if 2 in codes else _show(read_results(FLAGS.output)) or worst


def _show(results) -> int:
    """Prints the tables and writes the report; 1 where a run failed."""
    from keras_res3d.reports.studies import agreement_lines, difference_lines, write_study_report
    from keras_res3d.tasks.studies.results import read_results

    other = None if FLAGS.against is None else read_results(FLAGS.against)
    print(as_text(*results.table()))
    for line in [*difference_lines(results, FLAGS.measure, FLAGS.reference),
                 *agreement_lines(results, FLAGS.measure, other)]:  # fmt: skip
        print(printable(line))
    for name, seed, why in results.failures:
        print(f"{name}, seed {seed} failed: {printable(why)}")
    write_study_report(results, against=other, measure=FLAGS.measure, reference=FLAGS.reference)
    print(f"wrote {printable(pathlib.Path(FLAGS.output))}/results.csv, results.json, report.html")
    return 1 if results.failures else 0

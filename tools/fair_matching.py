"""Does the ranking of the paper's convolution study survive fair matching? MC1 to MC5, 2.5D and 3D, matched three ways.

    python tools/fair_matching.py OUTPUT                          # trains what is missing, then prints the tables
    python tools/fair_matching.py OUTPUT --data motion --frames 4 --counts all,live
    python tools/fair_matching.py OUTPUT --tables                 # prints the tables of what is there

For each embedded data set and clip length the 3D net has about 3 x 10^5 parameters. The others get as many parameters
in all ("all", as in the paper), as many live parameters as it has ("live"), or as many live multiply-accumulates
("macs"). The 3D net is the same in all three. Each cell is a folder of `keras_res3d.search_architectures`: the same
call goes on where an earlier one ended, and several processes may share the work. Runs whose net is the same in two
cells are trained once.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import shutil
from collections.abc import Iterator

import fair_matching_tables

import keras_res3d
from keras_res3d.io import atomic_group, locked
from keras_res3d.nets.counts import COUNTED
from keras_res3d.tasks.studies.budget import plan
from keras_res3d.tasks.studies.folder import HEADER, StudyFolder, run_folder, study_header
from keras_res3d.tasks.studies.read import read_study
from keras_res3d.tasks.studies.results import StudyResults

DATA, FRAMES, EPOCHS, REFERENCE, BUDGET = ("motion", "textures"), (4, 8, 16), (4,), "3D", 3e5
# One block in each group and a conv1 that keeps the full resolution, as in the quickstart: at half of 32 x 32 pixels
# the patch's texture is gone.
STUDY = {
    "study": "convolution",
    "name": "fair_matching",
    "fields": {
        "blocks": [1, 1, 1, 1],
        "conv1": 3,
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]],
        "batch_norm_momentum": 0.9,
        "crop": 32,
    },
    "sampling": {"stride": 1, "resize": [32, 32]},
}


def options_of(frames: int, epochs: int) -> keras_res3d.TrainingOptions:
    """The recipe of every run."""
    return keras_res3d.recipe("modern", epochs=epochs, batch_size=32, learning_rate=0.05, frames=frames)


def target(data: str, frames: int, count: str) -> float:
    """The budget of a cell: what the 3D net of `BUDGET` parameters has."""
    if count == "all":
        return BUDGET
    classes = len(keras_res3d.read_data_set(data).classes)
    planned = plan(read_study(STUDY), classes, options_of(frames, 1), BUDGET)
    (reference,) = (each for each in planned if each.name == REFERENCE)
    return {"live": reference.live_params, "macs": reference.live_macs}[count]


def reuse(done: pathlib.Path, cell: pathlib.Path, wanted: list) -> None:
    """Copies the scored runs of a cell whose nets another cell wants too; each is there whole or not at all."""
    if not (done / HEADER).exists() or done == cell:
        return
    for each in keras_res3d.read_results(done).candidates:
        same = [p for p in wanted if p.name == each.name and p.net.width == each.facts["width"]]
        for seed in each.runs if same else ():
            place = run_folder(cell, each.name, seed)
            if place.exists():
                continue
            with locked(place):  # of several processes one copies
                if not place.exists():
                    with atomic_group(place) as aside:
                        shutil.copytree(run_folder(done, each.name, seed), aside)


def cells(args) -> Iterator[tuple[str, int, int, str, pathlib.Path]]:
    """(data, frames, epochs, count, folder) of each cell, the shortest clips and the paper's own matching first."""
    for frames, epochs, data, count in itertools.product(args.frames, args.epochs, args.data, args.counts):
        yield data, frames, epochs, count, args.output / f"epochs{epochs}" / data / f"frames{frames}" / count


def train_cell(args, data: str, frames: int, epochs: int, count: str, folder: pathlib.Path) -> None:
    """Trains what is missing of a cell, and writes its report."""
    options, budget = options_of(frames, epochs), target(data, frames, count)
    classes = len(keras_res3d.read_data_set(data).classes)
    reuse(folder.parent / "all", folder, plan(read_study(STUDY), classes, options, budget, count))
    print(f"== {data}, {frames} frames, {epochs} epochs, {budget:,.0f} {COUNTED[count]}", flush=True)
    results = keras_res3d.search_architectures(
        STUDY, data, folder, target_params=budget, count=count, options=options, seeds=args.seeds, clips=args.clips,
    )  # fmt: skip
    keras_res3d.write_study_report(results, reference=REFERENCE)


def train_with_jax(args) -> None:
    """Trains what is missing of all cells on JAX, each net once; writes their results and no reports."""
    import fair_matching_jax

    planned_cells = []
    for data, frames, epochs, count, folder in cells(args):
        options, budget = options_of(frames, epochs), target(data, frames, count)
        training_set, test_set = (keras_res3d.read_data_set(f"{data}/{split}") for split in ("train", "test"))
        study = read_study(STUDY)
        planned = plan(study, len(training_set.classes), options, budget, count)
        header = study_header(study, planned, training_set, test_set, options, args.clips, budget, count)
        planned_cells.append((data, options, StudyFolder(folder, {**header, "engine": "jax"}), planned))
    fair_matching_jax.train_jobs(fair_matching_jax.jobs_of(planned_cells), range(args.seeds), args.clips)
    for *_, folder, _ in planned_cells:
        with locked(folder.path / HEADER):
            keras_res3d.read_results(folder.path).write()


def read(args) -> dict[tuple[str, int, int, str], StudyResults]:
    """What is known of each cell (data, frames, epochs, count) that has two candidates or more."""
    found = {tuple(cell): keras_res3d.read_results(folder) for *cell, folder in cells(args)
             if (folder / HEADER).exists()}  # fmt: skip
    return {cell: results for cell, results in found.items() if len(results.scored) > 1}


def main(argv: list[str] | None = None) -> None:
    """Trains the cells that the arguments name, and prints their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--data", type=lambda text: text.split(","), default=list(DATA))
    numbers = {"type": lambda text: [int(part) for part in text.split(",")]}
    parser.add_argument("--frames", **numbers, default=list(FRAMES))
    parser.add_argument("--counts", type=lambda text: text.split(","), default=list(COUNTED))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", **numbers, default=list(EPOCHS))
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--engine", choices=("train", "jax"), default="train",
                        help="train is keras_res3d.search_architectures; jax is fair_matching_jax.py, for GPUs")
    parser.add_argument("--picture", type=pathlib.Path, help="draw the scores into this PNG file too")
    parser.add_argument("--tables", action="store_true", help="print the tables of what is there, and train nothing")
    args = parser.parse_args(argv)
    if args.engine == "jax" and not args.tables:
        train_with_jax(args)
    elif not args.tables:
        for cell in cells(args):
            train_cell(args, *cell)
    found = read(args)
    print(fair_matching_tables.tables(found, REFERENCE))
    if args.picture:
        fair_matching_tables.picture(found, args.picture)


if __name__ == "__main__":
    main()

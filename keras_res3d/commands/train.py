"""Train a net on your videos.

    keras-res3d train --data train.csv --validation test.csv --net sr18 --output runs/fight
    keras-res3d train --layout ucf101 --data UCF-101 --lists ucfTrainTestlist --split 1 --validation UCF-101 \\
        --recipe ucf101_search --net sr18 --output runs/sr18
    keras-res3d train --data motion --net mc3 --target_params 5e5 --crop 32 --output runs/motion
    keras-res3d train --data mine.csv --weights runs/sr18 --freeze conv4 --output runs/mine

The output folder gets model.keras after every epoch and, with --validation, best.keras: the model with the best
val_video@1. Beside each lies its card, a .json with class names, sampling and all settings. log.csv has the figures of
every epoch, curves.png draws them. A run that was interrupted goes on from its last checkpoint when you give the same
command again. A video that cannot be read stops the run; with --on_bad_video skip it goes on with a clip of another
video, and lists the bad one in bad_videos.txt.

With --strategy multi_worker several hosts train one net: give the same command on each, with TF_CONFIG or with
--workers host:port,host:port and --worker_index, and an output folder that they share. See docs/hosts.md.

With --multi_label a video may have several labels (run|jump in the list), or none. The net then gives each class a
probability by itself, and best.keras has the best val_mAP, the mean average precision.
"""

from __future__ import annotations

import os

from absl import flags

from keras_res3d.cards import read_card, write_card
from keras_res3d.commands.common import define_sampling_flags, fresh_folder, import_keras_quietly, sampling_from_flags
from keras_res3d.commands.data_flags import data_from_flags, define_data_flags
from keras_res3d.commands.recipe_flags import define_recipe_flags, join_hosts_from_flags, options_from_flags
from keras_res3d.tables import printable

FLAGS = flags.FLAGS
USAGE = "--data PATH --output FOLDER"
CURVES = "curves.png"


def define_flags() -> None:
    from keras_res3d.data.transform import PREPROCESSING

    define_data_flags("Training videos")
    flags.DEFINE_string(
        "net", None, "A net of the zoo (keras-res3d models lists them). By default the net of --weights, or sr18."
    )
    flags.DEFINE_string("output", None, "Folder that the run writes into. It is made where it is missing.")
    flags.DEFINE_string(
        "weights",
        None,
        "Start from these weights: the folder of a run, a file, or the name of published weights. Net, width, sampling "
        "and preprocessing are theirs unless a flag or the recipe says otherwise. The classifier is new where the "
        "number of classes is another one.",
    )
    flags.DEFINE_integer(
        "width", None, "Channels of the first group. By default those of --weights, or the net's own.", lower_bound=1
    )
    flags.DEFINE_float("target_params", None, "Choose the width whose number of parameters is nearest to this.")
    define_sampling_flags("that of the recipe, else of --weights, else of the net")
    flags.DEFINE_enum(
        "preprocessing",
        None,
        sorted(PREPROCESSING),
        "How pixels become the net's input. By default that of --weights, or res3d.",
    )
    flags.DEFINE_enum(
        "class_weight", None, ["balanced"], "balanced weighs the loss so that every class has the same weight, "
        "however few videos it has. By default every clip has the same weight.",
    )  # fmt: skip
    define_recipe_flags(across_hosts=True)
    flags.DEFINE_bool(
        "overwrite", False, "Start from the first step even where the folder holds a run, which is then replaced."
    )


def _check_folder(folder: os.PathLike, state: str) -> None:
    """Raises ValueError where a folder in this state is not to be trained in."""
    if state in ("finished", "foreign"):
        what = "a finished run" if state == "finished" else "a model, and no record of a run that could go on"
        raise ValueError(f"{folder} holds {what}; choose another --output, or give --overwrite to start again")


def _lacks_its_curves(folder: os.PathLike, options) -> bool:
    """Whether a finished run is this one, and was killed before its curves were drawn."""
    from keras_res3d.training.folder import other_settings

    no_curves = not (folder / CURVES).exists() and (folder / "log.csv").exists()
    return no_curves and not other_settings(read_card(folder / "model.keras"), options)


def _conclude(folder: os.PathLike) -> int:
    """Does what a kill after the last epoch left undone."""
    from keras_res3d.training import checkpoint
    from keras_res3d.training.folder import figures_of, read_log

    card = read_card(folder / "model.keras")
    write_card(folder / "model.keras", card)
    checkpoint.remove(folder)
    log = read_log(folder)
    rows = [dict(zip(log, row, strict=True)) for row in zip(*log.values(), strict=True)]
    _draw_curves(folder, card.net, figures_of(rows), None if card.multi_label else 1 / len(card.labels))
    print(f"the run in {printable(folder)} was finished but for {CURVES}, which is drawn now; nothing was trained")
    return 0


def _draw_curves(folder: os.PathLike, name: str, history: dict[str, list[float]], chance: float | None) -> None:
    from keras_res3d.reports import plots

    plots.save_png(plots.learning_curves({name: history}, chance), folder / CURVES)


def _net(classes: int):
    """The architecture that --net, --width, --target_params and --weights mean together."""
    from dataclasses import replace

    from keras_res3d.nets.counts import with_budget
    from keras_res3d.nets.zoo import get_architecture
    from keras_res3d.training.start import net_of_weights

    inherited = net_of_weights(FLAGS.weights)
    net = get_architecture(FLAGS.net or inherited or "sr18")
    if inherited is not None and inherited.name == net.name:
        net = replace(net, width=inherited.width)
    return with_budget(net, FLAGS.width, FLAGS.target_params, classes)


def _plan(net, data, sampling, options) -> str:
    """What is about to happen, in a few lines."""
    from keras_res3d.nets.counts import count_params

    classes, shape = len(data.classes), (sampling.frames, *sampling.crop, 3)
    steps = options.total_steps(len(data))
    epochs = -(-steps // options.steps_per_epoch(len(data)))
    every = "every frame" if sampling.stride == 1 else f"one frame in {sampling.stride}"
    return (
        f"{net.name}, width {net.width}: {count_params(net, classes, shape):,} parameters "
        f"({count_params(net, classes, shape, live=True):,} live at {sampling.frames} frames)\n"
        f"{len(data)} videos of {classes} classes from {printable(FLAGS.data)}; {sampling.frames} frames of "
        f"{sampling.crop[0]} x {sampling.crop[1]}, {every}, preprocessing {sampling.preprocessing}\n"
        f"recipe {options.recipe}: {steps:,} steps of {options.batch_size} clips, "
        f"{epochs:,} {'epoch' if epochs == 1 else 'epochs'}; {options.optimizer}, {options.schedule} from "
        f"{options.learning_rate:g}, {options.precision}, seed {options.seed}"
    )


def run(args: list[str]) -> int:
    if args:
        raise ValueError(f"unexpected arguments {' '.join(args)}; train takes flags alone (--data PATH)")
    import_keras_quietly()
    from keras_res3d.training.folder import held, state_of

    output = fresh_folder(FLAGS.output, overwrite=True)
    options, cluster = options_from_flags(), join_hosts_from_flags()
    with held(output, cluster):
        state = "nothing" if FLAGS.overwrite else state_of(output)
        if state == "finished" and _lacks_its_curves(output, options):
            return _conclude(output) if cluster.is_chief else 0
        _check_folder(output, state)
        return _train(output, state == "unfinished", options, cluster)


def _train(output: os.PathLike, unfinished: bool, options, cluster) -> int:
    """The run, in a folder that the first host holds; it goes on with an unfinished one."""
    from keras_res3d.data.types import is_multi_label
    from keras_res3d.training.checks import check_data
    from keras_res3d.training.cluster import ending_soon
    from keras_res3d.training.fit import prepare_net, train
    from keras_res3d.training.start import card_of_weights, starting_card, starting_sampling

    if options.freeze and FLAGS.weights is None:
        raise ValueError(f"--freeze is {options.freeze} without --weights: these groups would keep random weights")
    data = data_from_flags("train")
    validation = data_from_flags("validation", data.classes)
    check_data(data, validation)
    net = _net(len(data.classes))
    before = card_of_weights(net, FLAGS.weights)
    sampling = sampling_from_flags(starting_sampling(net, options, before, FLAGS.preprocessing))
    if cluster.is_chief:
        print(_plan(net, data, sampling, options))
    model = prepare_net(
        net, sampling, len(data.classes), options, len(data), FLAGS.weights, multi_label=is_multi_label(data)
    )
    card = starting_card(net, FLAGS.weights, data, sampling)
    with ending_soon(cluster):
        history = train(
            model, data, sampling, output, options, validation, card, unfinished, class_weight=FLAGS.class_weight
        )  # fmt: skip
    if cluster.is_chief:
        _show(output, net.name, history, None if is_multi_label(data) else 1 / len(data.classes))
    return 0


def _show(output: os.PathLike, name: str, history: dict[str, list[float]], chance: float | None) -> None:
    """Draws the curves, and says what came out."""
    from keras_res3d.training.folder import BAD_VIDEOS, SKIPPED, bad_videos_of

    _draw_curves(output, name, history, chance)
    bad = bad_videos_of(output)
    if bad:
        count = "1 bad video was" if len(bad) == 1 else f"{len(bad)} bad videos were"
        print(f"{count} skipped; {printable(output)}/{BAD_VIDEOS} lists them")
    last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items())
    more = ", best.keras" if FLAGS.validation else ""
    more += f", {SKIPPED}" if (output / SKIPPED).exists() else ""
    print(f"{last}\nwrote {printable(output)}/model.keras, model.json, log.csv, {CURVES}{more}")

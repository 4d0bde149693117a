"""What a run writes into its folder and says on the terminal."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import shutil
import sys
import time
import warnings
from collections.abc import Mapping, Sequence

import keras

from keras_res3d.cards import ModelCard, read_card, save_model, write_card
from keras_res3d.data.bad_videos import BadVideos
from keras_res3d.data.clips import Sampling
from keras_res3d.io import only_one, write_atomically
from keras_res3d.nets.architecture import Architecture, walk
from keras_res3d.remote import as_path, opened, text_of
from keras_res3d.table_files import csv_rows
from keras_res3d.tables import printable
from keras_res3d.training import checkpoint
from keras_res3d.training.cluster import ALONE, TF_CONFIG, Cluster, named_alone
from keras_res3d.training.compile import Twin
from keras_res3d.training.hosts import cluster_of_strategy, is_chief, tell_all
from keras_res3d.training.recipes import TrainingOptions
from keras_res3d.training.scored import scored_weights
from keras_res3d.training.steps import watch

LOG, SKIPPED, BAD_VIDEOS = "log.csv", "skipped_missing.txt", "bad_videos.txt"
WIDTH = 79  # of the bar where the terminal does not say


def state_of(folder) -> str:
    """What a run's folder holds: "nothing" of a run, an "unfinished" one, a "finished" one, or a "foreign" model."""
    folder = as_path(folder)
    model, card = folder / "model.keras", record_of(folder)
    finished = None if card is None else card.training.get("finished")
    if finished is False or (finished is None and (folder / checkpoint.FILE).exists()):
        return "unfinished"
    if finished:
        return "finished"
    return "foreign" if model.exists() else "nothing"


def held(folder, cluster: Cluster = ALONE) -> contextlib.AbstractContextManager[None]:
    """Holds a run's folder for this process; raises ValueError where another one trains in it.

    Of several hosts the first one alone holds it, as it alone writes.
    """
    if not cluster.is_chief:
        return contextlib.nullcontext()
    path, advice = as_path(folder) / "model.keras", "wait for it, or choose another output"
    if len(cluster.workers) > 1:
        own = f"--worker_index (task.index of {TF_CONFIG})"
        advice = f"if that is {cluster.name()} too, give each worker its own {own}; otherwise {advice}"
    elif others := named_alone():
        warnings.warn(f"this process trains by itself: {others}", stacklevel=1)  # once, though a verb asks first
        advice = f"{others}; otherwise {advice}"
    return only_one(path, "trains in", folder, advice)


def other_settings(card: ModelCard, options: TrainingOptions) -> list[str]:
    """The names of the options in which the run of a card differs."""
    wanted = json.loads(json.dumps(dataclasses.asdict(options)))
    return [name for name, value in card.training.items() if name in wanted and wanted[name] != value]


def other_run(
    card: ModelCard, net: Architecture, sampling: Sampling, labels: Sequence[str], options: Mapping
) -> list[str]:
    """In what the run of a card is another one: "architecture.width: 5 there, 4 expected"; nothing where it is not.

    Args:
        card: of the run.
        net: that is expected; one that is told in other words, such as twice the width and half the multipliers, is
            the same, and so is another momentum of batch norm, which is fitted to the run.
        sampling: of its clips.
        labels: of its outputs.
        options: by name those that count; of one that the card does not know nothing is said.
    """
    there = {"sampling": card.sampling.to_dict(), "classes": list(card.labels),
             **{name: card.training[name] for name in options if name in card.training}}  # fmt: skip
    expected = {"sampling": sampling.to_dict(), "classes": list(labels),
                **{name: options[name] for name in options if name in card.training}}  # fmt: skip
    if card.architecture is None or walk(card.architecture, 1) != walk(net, 1):
        there["architecture"], expected["architecture"] = _layers_of(card.architecture), _layers_of(net)
    told = (json.loads(json.dumps(each)) for each in (there, expected))
    return checkpoint.differences(*told, names=("there", "expected"))


# Fields of an architecture that say nothing about its layers.
_NOT_OF_LAYERS = ("name", "frames", "crop", "classes", "batch_norm_momentum")


def _layers_of(net: Architecture | None) -> dict | None:
    if net is None:
        return None
    fields = {name: value for name, value in net.to_dict().items() if name not in _NOT_OF_LAYERS}
    return {**fields, "batch norm": net.batch_norm_momentum is not None}


def record_of(folder) -> ModelCard | None:
    """The record of the run in a folder; None where there is none, or a file that is no card."""
    try:
        return read_card(as_path(folder) / "model.keras")
    except ValueError:
        return None


def bad_videos_of(folder) -> list[str]:
    """The lines of the list of bad videos in a run's folder; none where no video was skipped."""
    path = as_path(folder) / BAD_VIDEOS
    return text_of(path).splitlines() if path.exists() else []


def write_skipped(folder, *data_sets) -> None:
    """Lists in `skipped_missing.txt` the videos of a run's lists that are missing and were left out, one a line.

    Args:
        folder: of the run. Where nothing is missing, a list that an earlier run left there is removed.
        data_sets: training and validation videos; None where there are none.
    """
    lines = [printable(path) for data in data_sets for path in getattr(data, "missing", ())]
    path = as_path(folder) / SKIPPED
    if lines:
        write_atomically(path, "\n".join([*lines, ""]))
    else:
        path.unlink(missing_ok=True)


class RunFolder(keras.callbacks.Callback):
    """Keeps `model.keras`, `best.keras` with their cards and `log.csv` in a run's folder up to date.

    Args:
        folder: of the run.
        card: of the models; each epoch's figures are added to its `training`.
        best: the figure in the logs by which the best model is kept, the highest; None: no best model.
        bad: the bad videos of this host, where they are skipped; the first host lists those of all.
    """

    def __init__(self, folder, card: ModelCard, best: str | None = None, bad: BadVideos | None = None):
        super().__init__()
        self.folder, self.card, self.best, self.bad = as_path(folder), card, best, bad
        self.rows, self.highest, self._training = [], -1.0, {}

    def get_state(self) -> dict:
        return {"rows": self.rows, "highest": self.highest}

    def set_state(self, state: dict) -> None:
        self.rows, self.highest = state["rows"], state["highest"]
        self._write_log()

    @property
    def _cluster(self) -> Cluster:
        return cluster_of_strategy(self.model.distribute_strategy)

    def on_train_begin(self, logs=None):
        if self._cluster.is_chief and state_of(self.folder) != "unfinished":
            self._begin_record()

    def _begin_record(self) -> None:
        """Says that a run in this folder is not over, before anything else is written: also beside an older model."""
        model = self.folder / "model.keras"
        # An older model stays until the first epoch is done, and so does what its card says of it.
        card = (record_of(self.folder) if model.exists() else None) or self.card
        # The time lets it differ from the card that the model's last one replaced, which would be taken for a remain.
        begun = time.strftime("%Y-%m-%d %H:%M:%S")
        record = dataclasses.replace(card, training={**card.training, "finished": False, "begun": begun})
        write_card(model, record)

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        rate = self.model.optimizer.learning_rate
        row = {"epoch": epoch + 1, **logs, "learning_rate": float(rate), "seconds": time.perf_counter() - self._start}
        self.rows.append(row)
        figures = {name: value for name, value in row.items() if name != "epoch" and name not in self.card.training}
        self._training = {"epochs_done": epoch + 1, "steps_done": watch(self.model).step, **figures}
        with scored_weights(self.model):
            names = ["model"]
            if self.best is not None and row[self.best] > self.highest:
                self.highest = row[self.best]
                names.append("best")
            self._save(names, finished=False)
        self._write_log()
        self._list_bad_videos()
        line = epoch_line(row, self.params["epochs"])
        # Of the others a line says that they live; the scores are those of the first.
        print(line if self._cluster.is_chief else f"{self._cluster.name()}: {line.splitlines()[0]}", flush=True)

    def _list_bad_videos(self) -> None:
        if self.bad is not None and len(self._cluster.workers) > 1:
            for faults in tell_all(self.model.distribute_strategy, self.bad.faults):
                if self._cluster.is_chief:
                    self.bad.add(faults)

    def on_train_end(self, logs=None):
        # Callbacks may have put other weights back, and now the record can say that the run is over.
        self._save(["model"], finished=True)

    def _save(self, names: list[str], finished: bool) -> None:
        if not self._cluster.is_chief:
            return
        stored = self.model.stored() if isinstance(self.model, Twin) else contextlib.nullcontext(self.model)
        with stored as net:
            for name in names:
                # Whether the run is over is said in one place, beside model.keras.
                record = {"finished": finished} if name == "model" else {}
                training = {**self.card.training, **self._training, **record}
                save_model(net, self.folder / f"{name}.keras", dataclasses.replace(self.card, training=training))

    def _write_log(self) -> None:
        """log.csv as a whole, so that a resumed run neither repeats nor loses a line."""
        if not self.rows or not self._cluster.is_chief:
            return
        text = io.StringIO()
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.folder / LOG, text.getvalue())


def read_log(folder) -> dict[str, list[float]]:
    """The columns of the log in a run's folder, one value per epoch; a cell that is empty or no number is NaN.

    Returns:
        The values by column; {} without a log, or of one without an epoch.

    Raises:
        ValueError: it is no CSV; names the file and the line.
    """
    path = as_path(folder) / LOG
    if not path.is_file():
        return {}
    try:
        with io.TextIOWrapper(opened(path), encoding="utf-8", errors="replace", newline="") as file:
            rows = [cells for _, cells in csv_rows(file) if cells]
    except ValueError as error:
        raise ValueError(f"{printable(path)} is no log of a run: {error}") from error
    if len(rows) < 2:
        return {}
    return {name: [_number(cells, place) for cells in rows[1:]] for place, name in enumerate(rows[0]) if name}


def _number(cells: list[str], place: int) -> float:
    try:
        return float(cells[place])
    except (IndexError, ValueError):
        return math.nan


# Columns of the log that say how a run went, not what it learnt.
_CIRCUMSTANCES = ("epoch", "clips_per_second", "data_wait", "seconds", "learning_rate")


def figures_of(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Loss, metrics and scores of a log, a list of each with one value per epoch."""
    return {name: [row[name] for row in rows] for name in rows[0] if name not in _CIRCUMSTANCES}


def _scores(row: dict[str, float]) -> str:
    return ", ".join(f"{name} {row[name]:.3f}" for name in row if name not in _CIRCUMSTANCES)


def _speed(row: dict[str, float]) -> str:
    return f"{row['clips_per_second']:.3g} clips/s, {row['data_wait']:.0%} waiting for data"


def epoch_line(row: dict[str, float], epochs: int) -> str:
    """One epoch: "epoch 3/20: 12 s, 21.3 clips/s, 4% waiting for data", and on a second line its scores."""
    return f"epoch {row['epoch']:.0f}/{epochs}: {row['seconds']:.0f} s, {_speed(row)}\n  {_scores(row)}"


class Bar(keras.callbacks.Callback):
    """The steps of an epoch in one line that fits the terminal; silent without a terminal, and on all hosts but one."""

    def on_epoch_begin(self, epoch, logs=None):
        self._done, self._start = 0, time.perf_counter()
        # A model of no strategy, or none at all, is on one host.
        strategy = getattr(self.model, "distribute_strategy", None)
        self._shown = sys.stdout.isatty() and (strategy is None or is_chief(strategy))

    def on_train_batch_end(self, batch, logs=None):
        if not self._shown:
            return
        total = self.params["steps"]
        self._done = min(total, batch + 1)
        left = (time.perf_counter() - self._start) / self._done * (total - self._done)
        text = bar_line(self._done, total, left, logs)
        print("\r" + text[: _columns()].ljust(_columns()), end="", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        if self._shown and self._done:
            print("\r" + " " * _columns() + "\r", end="", flush=True)


def _columns() -> int:
    """Characters of the bar: it leaves the last column of the terminal free, and takes no more than `WIDTH`."""
    return min(shutil.get_terminal_size((WIDTH + 1, 24)).columns - 1, WIDTH)


def bar_line(done: int, total: int, seconds_left: float, logs: dict[str, float]) -> str:
    """The bar as text: "12/238 [=     ] 1:05 left, 21.3 clips/s, 4% wait, loss 1.234, ..."."""
    filled = 6 * done // total
    minutes, seconds = divmod(round(seconds_left), 60)
    bar = f"{done:>{len(str(total))}}/{total} [{'=' * filled:<6}] {minutes}:{seconds:02} left"
    speed = f"{logs['clips_per_second']:.3g} clips/s" + (f", {logs['data_wait']:.0%} wait" if logs["data_wait"] else "")
    return f"{bar}, {speed}, {_scores(logs)}"

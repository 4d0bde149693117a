"""Accuracies over splits: what every task of transfer gives, with mean, standard deviation, table and JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from keras_res3d.scores import Scores
from keras_res3d.tables import interval_text


@dataclass(frozen=True)
class SplitScore:
    """The score of one split.

    Attributes:
        name: what was scored: a layer, a set of features, or a net.
        split: which split.
        measure: "accuracy", or such as "recall@5".
        value: in 0..1.
        train: how many videos the training part has, or None where that is not known.
        test: how many videos were scored.
        classes: how many there are to choose from.
        C: the linear SVM's, where there is one.
        dimensions: how many PCA left, where there is PCA.
        interval: both ends of the 95 % bootstrap interval, in 0..1, where there is one.
    """

    name: str
    split: str
    measure: str
    value: float
    train: int | None
    test: int
    classes: int
    C: float | None = None
    dimensions: int | None = None
    interval: tuple[float, float] | None = None


def split_scores(net: str, split: str, found: Scores, train: int | None = None) -> list[SplitScore]:
    """The accuracies of a net on the test videos of a split, each a `SplitScore` with its interval.

    Args:
        net, split: names of both.
        found: what `evaluate` gave.
        train: how many videos the net was trained on.
    """
    return [
        SplitScore(net, split, measure, value, train, len(found.truth), len(found.labels),
                   interval=found.intervals[measure])
        for measure, value in found.measures.items()
    ]  # fmt: skip


@dataclass(frozen=True)
class TransferScores:
    """Scores over splits.

    Attributes:
        task: "svm", "pca", "knn", "finetune" or "evaluate".
        scores: one for each split and row of the table.
        paper: the paper's figures for the data set, in percent, by net; empty where it has none.
        facts: of the features: model, sampling and so on.
    """

    task: str
    scores: tuple[SplitScore, ...]
    paper: Mapping = field(default_factory=dict)
    facts: Mapping = field(default_factory=dict)

    def rows(self) -> dict[tuple[str, int | None, str], list[SplitScore]]:
        """The scores of each (name, dimensions, measure), in order of splits."""
        found: dict[tuple[str, int | None, str], list[SplitScore]] = {}
        for score in self.scores:
            found.setdefault((score.name, score.dimensions, score.measure), []).append(score)
        return found

    def mean(self, name: str | None = None, dimensions: int | None = None, measure: str = "accuracy") -> float:
        """Mean over splits, in 0..1, of a row; of the first row with such a measure where there is no name.

        Raises:
            ValueError: there is no such row.
        """
        return statistics.fmean(score.value for score in self._row(name, dimensions, measure))

    def std(self, name: str | None = None, dimensions: int | None = None, measure: str = "accuracy") -> float:
        """Standard deviation over splits, with n - 1; NaN of a single split. Arguments as of `mean`."""
        return _std([score.value for score in self._row(name, dimensions, measure)])

    def _row(self, name: str | None, dimensions: int | None, measure: str) -> list[SplitScore]:
        rows = self.rows()
        for key, scores in rows.items():
            if name in (None, key[0]) and key[1:] == (dimensions, measure):
                return scores
        raise ValueError(f"there is no row {(name, dimensions, measure)}; there are {list(rows)}")

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for `tables.as_text`: each split, then the mean and the standard deviation, in percent.

        A column of which no split has anything is left out.
        """
        rows, several = [], len({score.split for score in self.scores}) > 1
        for (name, dimensions, measure), scores in self.rows().items():
            what = [name, _dimensions(dimensions), measure]
            for score in scores:
                facts = [_or_dash(score.train), str(score.test), _or_dash(score.C)]
                value = f"{100 * score.value:.1f}"
                rows.append([*what, score.split, value, "-", interval_text(score.interval), *facts])
            if several:
                values = [score.value for score in scores]
                rows.append([*what, "mean of splits", f"{100 * statistics.fmean(values):.1f}",
                             f"{100 * _std(values):.1f}", *["-"] * 4])  # fmt: skip
        names = "net" if self.task in ("finetune", "evaluate") else "features"
        header = [names, "dimensions", "measure", "split", "%", "std", "95 % interval", "training", "test", "C"]
        there = {"dimensions": self.task == "pca", "std": several, "95 % interval": self._any("interval"),
                 "training": self._any("train"), "C": self._any("C")}  # fmt: skip
        kept = [number for number, name in enumerate(header) if there.get(name, True)]
        return [header[number] for number in kept], [[row[number] for number in kept] for row in rows]

    def _any(self, name: str) -> bool:
        return any(getattr(score, name) is not None for score in self.scores)

    def summary(self) -> dict:
        """All of it, ready for JSON; shares in 0..1, the paper's figures in percent."""
        rows = [
            {"name": name, "dimensions": dimensions, "measure": measure, "splits": len(scores),
             "mean": statistics.fmean(score.value for score in scores),
             "std": _std([score.value for score in scores]) if len(scores) > 1 else None}
            for (name, dimensions, measure), scores in self.rows().items()
        ]  # fmt: skip
        return {"task": self.task, "rows": rows, "scores": [asdict(score) for score in self.scores],
                "paper_percent": _keys_as_text(self.paper), "features": dict(self.facts)}  # fmt: skip


def _keys_as_text(value: object) -> object:
    return {str(key): _keys_as_text(each) for key, each in value.items()} if isinstance(value, Mapping) else value


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _dimensions(count: int | None) -> str:
    return "all" if count is None else str(count)


def _std(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else float("nan")

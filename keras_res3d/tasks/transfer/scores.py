"""Accuracies over splits: what every task of transfer gives, with mean, standard deviation, table and JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class SplitScore:
    """The score of one split.

    Attributes:
        name: what was scored: a layer, a set of features, or a net.
        split: which split.
        measure: "accuracy", or such as "recall@5".
        value: in 0..1.
        train, test: how many videos each part has.
        classes: how many the training part has.
        C: the linear SVM's, where there is one.
        dimensions: how many PCA left, where there is PCA.
    """

    name: str
    split: str
    measure: str
    value: float
    train: int
    test: int
    classes: int
    C: float | None = None
    dimensions: int | None = None


@dataclass(frozen=True)
class TransferScores:
    """Scores over splits.

    Attributes:
        task: "svm", "pca", "knn" or "finetune".
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
        """Header and rows for `tables.as_text`: each split, then the mean and the standard deviation, in percent."""
        rows, several = [], len({score.split for score in self.scores}) > 1
        with_pca = self.task == "pca"
        for (name, dimensions, measure), scores in self.rows().items():
            what = [name, *([_dimensions(dimensions)] if with_pca else []), measure]
            for score in scores:
                rows.append([*what, score.split, f"{100 * score.value:.1f}", str(score.train), str(score.test),
                             "-" if score.C is None else f"{score.C:g}"])  # fmt: skip
            if several:
                values = [score.value for score in scores]
                rows.append([*what, "mean of splits", f"{100 * statistics.fmean(values):.1f}",
                             f"std {100 * _std(values):.1f}", "-", "-"])  # fmt: skip
        header = ["features", *(["dimensions"] if with_pca else []), "measure", "split", "%", "training", "test", "C"]
        return header, rows

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


def _dimensions(count: int | None) -> str:
    return "all" if count is None else str(count)


def _std(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else float("nan")

"""The rows that `predict` prints, each as soon as it is known: as text, JSON, lines of JSON, or CSV."""

from __future__ import annotations

import csv
import io
import sys
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from absl import flags

from keras_res3d.multi_label import THRESHOLD
from keras_res3d.tables import as_json, printable

FLAGS = flags.FLAGS
FORMS = ("json", "jsonl", "csv")
# Where stderr is no terminal, a line says every so many seconds how far it is.
REPORT_SECONDS = 60


def define_form_flags() -> None:
    flags.DEFINE_bool("json", False, "Print one JSON array instead of text.")
    flags.DEFINE_bool("jsonl", False, "Print a line of JSON for each video instead of text.")
    flags.DEFINE_bool("csv", False, "Print CSV instead of text: a line for each of a video's best classes, or with "
                      "--threshold for each event.")  # fmt: skip


def form_from_flags() -> str:
    """"text", or the form that a flag names.

    Raises:
        ValueError: several are named.
    """
    named = [form for form in FORMS if FLAGS[form].value]
    if len(named) > 1:
        raise ValueError(f"{' and '.join(f'--{form}' for form in named)} exclude each other; give one of them")
    return named[0] if named else "text"


def best_classes(scores, labels, top: int, multi_label: bool = False) -> list[dict]:
    """The best classes of scores `(classes,)`, best first; of several labels, with whether each is given."""
    from keras_res3d.data.labels import decode_predictions

    found = decode_predictions(scores[None], top, labels)[0]
    rows = [{"class": int(number), "label": name, "score": float(score)} for number, name, score in found]
    return [{**row, "given": row["score"] > THRESHOLD} for row in rows] if multi_label else rows


def class_lines(row: dict) -> list[dict]:
    """A row as the lines of its best classes."""
    return [{**row, "rank": rank, **best} for rank, best in enumerate(row["predictions"], 1)]


@dataclass(frozen=True)
class Columns:
    """How rows become CSV.

    Attributes:
        names: of the columns.
        lines: takes a row, and gives a dictionary of cells for each line that it becomes; missing cells are empty. A
            row with an error is a line of its own.
    """

    names: tuple[str, ...]
    lines: Callable[[dict], Iterable[dict]]


class Rows:
    """Prints rows one by one; what is printed is flushed, so that a run that is killed has its rows.

    Args:
        form: one of `FORMS`, or "text".
        columns: for CSV.
        text: shows a row as text, unless it has an error, which stderr has said.
    """

    def __init__(self, form: str, columns: Columns, text: Callable[[dict], None]):
        self._form, self._columns, self._text, self._count = form, columns, text, 0

    def __enter__(self) -> Rows:
        if self._form == "csv":
            self._write(_csv_line(self._columns.names))
        return self

    def __exit__(self, kind, *_: object) -> None:
        if self._form == "json" and kind is not BrokenPipeError:
            self._write("\n]\n" if self._count else "[]\n")

    def add(self, row: dict) -> None:
        """Prints a row."""
        if self._form == "text":
            if "error" not in row:
                self._text(row)
        elif self._form == "json":
            item = textwrap.indent(as_json(row).rstrip("\n"), "  ")
            self._write(f"{',' if self._count else '['}\n{item}")
        elif self._form == "jsonl":
            self._write(as_json(row, indent=None))
        else:
            for cells in [row] if "error" in row else self._columns.lines(row):
                self._write(_csv_line([cells.get(name, "") for name in self._columns.names]))
        self._count += 1
        sys.stdout.flush()

    def _write(self, text: str) -> None:
        print(text, end="", flush=True)


def _csv_line(cells: Iterable) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([printable(cell) for cell in cells])
    return text.getvalue()


class Progress:
    """Says on stderr how many of the videos are done: a line that moves on a terminal, a line a minute elsewhere.

    Args:
        total: number of videos.
    """

    def __init__(self, total: int):
        self._total, self._started = total, time.monotonic()
        self._said = self._started

    def begin(self, number: int) -> None:
        """Says that the video of that number, from 1, is begun."""
        now = time.monotonic()
        if self._total < 2:
            return
        if sys.stderr.isatty():
            print(f"\r{number} of {self._total}{self._left(number, now)} ", end="", file=sys.stderr, flush=True)
        elif now - self._said >= REPORT_SECONDS:
            self._said = now
            print(f"{number - 1} of {self._total} videos are done{self._left(number, now)}", file=sys.stderr)

    def _left(self, number: int, now: float) -> str:
        """How long the rest will take, after the first few seconds."""
        if number < 2 or now - self._started < 5:
            return ""
        minutes = (now - self._started) / (number - 1) * (self._total - number + 1) / 60
        return f", about {minutes:.0f} minutes are left" if minutes >= 2 else ""

"""The report of a run: what its folder knows, and with videos how it scores them, as one HTML page."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_res3d.cards import ModelCard, read_card
from keras_res3d.data.evaluation import clips_at, evaluation_places
from keras_res3d.data.open import read_data_set
from keras_res3d.data.transform import preprocess_input
from keras_res3d.export.formats import format_of, load_runner
from keras_res3d.export.measure import run_export
from keras_res3d.export.samples import embedded_clips
from keras_res3d.inference.classifier import fitting_card, keras_model, load_model
from keras_res3d.inference.model_file import model_file
from keras_res3d.io import write_atomically
from keras_res3d.reports.pages import ClipShown, shown_rate
from keras_res3d.reports.sections import Clips, Numbers, Pairs, Section, Table, Text, curves, page, scores_sections
from keras_res3d.reports.surroundings import surroundings
from keras_res3d.scores import Scores
from keras_res3d.tables import printable
from keras_res3d.tasks.evaluate import evaluate
from keras_res3d.training.folder import read_log
from keras_res3d.training.kinds import kind_for

FOLDERS_DEEP = 2
_EXPECTED = "expected a folder of keras-res3d train, or a .keras file in one"


def write_report(
    run,
    output=None,
    data=None,
    *,
    exports: Sequence | None = None,
    clips: int = 10,
    batch_size: int = 32,
    shown: int = 6,
    measure: bool = True,
) -> pathlib.Path:
    """Writes the report of a run as one HTML file, which needs no network and no script.

    Args:
        run: a folder of `train`, finished or not, or a `.keras` file in one, such as `best.keras`.
        output: the file; None is `report.html` in the run's folder.
        data: videos to score (a data set, or the path of one). None leaves out what needs them: the confusion matrix,
            the classes, the best and the worst clips.
        exports: exported files and folders of this model; None takes those in the run's folder and two levels below.
        clips: per video, as of `evaluate`.
        batch_size: clips that are scored at a time.
        shown: how many of the best clips and of the worst are shown.
        measure: run each export in a process of its own, for its latency and its memory.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: there is no such run, or no such export.
        ValueError: the folder holds neither a log nor a model, a log that is no CSV, or a model that its card does not
            fit; or as of `evaluate`.
    """
    folder, model, card = _opened(run)
    log = read_log(folder)
    scores = fault = None
    if data is None:
        fault = _fault(model)
    else:
        if not model.is_file():
            raise ValueError(f"{folder} holds no {model.name}, so that nothing can be scored; leave --data out")
        classifier = load_model(model)
        if isinstance(data, (str, os.PathLike)):
            data = read_data_set(data, classes=classifier.card.labels or None, multi_label=classifier.card.multi_label)
        scores = evaluate(classifier, data, clips=clips, batch_size=batch_size)
        card = classifier.card
    files = find_exports(folder) if exports is None else [_existing(path) for path in exports]
    state = [*_state(folder, log, card, scores), *([Text(fault, "warning")] if fault else [])]
    sections = [Section("", state), curves({card_name(card, folder): log}, _chance(card))]
    if scores is not None:
        sections += scores_sections({"model": scores})
        sections += _extremes(scores, data, card, clips, shown) if isinstance(scores, Scores) else []
    sections += _exports(files, card, measure)
    sections += [_settings(model, card, log), Section("Machine and versions", [_pairs(surroundings())])]
    target = pathlib.Path(output) if output is not None else folder / "report.html"
    write_atomically(target, page(f"Run {folder.resolve().name or folder}", _lead(folder, card, scores), sections))
    return target


def _opened(run) -> tuple[pathlib.Path, pathlib.Path, ModelCard | None]:
    """The run's folder, its model file, which need not be there, and its card."""
    path = pathlib.Path(run)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; {_EXPECTED}")
    if path.is_file() and path.suffix != ".keras":
        raise ValueError(f"{path} is no run; {_EXPECTED}")
    model = path / "model.keras" if path.is_dir() else path
    card = read_card(model)
    if not model.exists() and card is None and not (model.parent / "log.csv").exists():
        raise ValueError(f"{path} holds neither log.csv nor model.keras; {_EXPECTED}")
    return model.parent, model, card


def _fault(model: pathlib.Path) -> str | None:
    """Why a run's model cannot be opened, None where it can or where there is none yet: a report does without it.

    Raises:
        ValueError: it can be opened, and the card is not its card.
    """
    if not model.is_file():
        return None
    try:
        found = keras_model(model_file(model))
    except ValueError as error:
        return f"The model could not be opened, so that its card was not compared with it: {printable(error)}"
    fitting_card(found, model)
    return None


def card_name(card: ModelCard | None, folder: pathlib.Path) -> str:
    """What the run's net is called."""
    return card.net if card is not None else folder.name


def _chance(card: ModelCard | None) -> float | None:
    return 1 / len(card.labels) if card is not None and card.labels and not card.multi_label else None


def _lead(folder: pathlib.Path, card: ModelCard | None, scores: Scores | None) -> str:
    what = f"{card_name(card, folder)}"
    if card is not None and card.labels:
        what += f", {len(card.labels)} classes"
    if card is not None and card.trained_on:
        what += f", trained on {card.trained_on}"
    if scores is None:
        return what + "."
    if not isinstance(scores, Scores):
        return f"{what}. It was scored on {len(scores.truth)} videos."
    right, chance = scores.video_at_1, 1 / len(scores.labels)
    return f"{what}. It names {right:.1%} of {len(scores.truth)} videos; chance is {chance:.1%}."


def _state(folder, log: dict, card: ModelCard | None, scores: Scores | None) -> list:
    """The numbers at the top, and how far the run went."""
    numbers = []
    if scores is not None:
        best_first = sorted(scores.measures.items(), key=lambda pair: pair[0].startswith("clip"))
        numbers = [(name, f"{value:.1%}") for name, value in best_first] + [("videos", f"{len(scores.truth):,}")]
    epochs = len(next(iter(log.values()), ()))
    numbers.append(("epochs", str(epochs)))
    figure = kind_for(card is not None and card.multi_label).video_figure[0]
    best = [value for value in log.get(figure, ()) if value == value]
    if best:
        numbers.append((f"best validation {figure.removeprefix('val_')}", f"{max(best):.1%}"))
    if seconds := [value for value in log.get("seconds", ()) if value == value]:
        numbers.append(("training", _duration(sum(seconds))))
    parts: list = [Numbers(numbers)]
    training = card.training if card is not None else {}
    planned = None if training.get("iterations") else training.get("epochs")
    if not epochs:
        parts.append(Text("The folder has no log of a finished epoch.", "warning"))
    elif training.get("finished") is False:
        of = f" of {planned}" if planned else ""
        parts.append(Text(f"The run is not finished: {epochs}{of} epochs are done. It is still going on, or was "
                          "interrupted.", "warning"))  # fmt: skip
    elif isinstance(planned, int) and epochs < planned:
        parts.append(Text(f"The run stopped early, after {epochs} of {planned} epochs."))
    if epochs and not best:
        parts.append(Text("The run had no validation videos.", "muted"))
    return parts


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _extremes(scores: Scores, data, card: ModelCard, clips: int, shown: int) -> list[Section]:
    """The clips by whose scores the model is most right and most wrong, one of a video."""
    truth = scores.truth[scores.videos]
    of_truth = scores.probabilities[np.arange(len(truth)), truth]
    others = scores.probabilities.copy()
    others[np.arange(len(truth)), truth] = -np.inf
    # By how much the true class is ahead of the best other one, so that logits are judged alike.
    lead = of_truth - others.max(axis=1) if scores.probabilities.shape[1] > 1 else of_truth
    sections = []
    for heading, sign in (("Best clips", -1), ("Worst clips", 1)):
        chosen: dict[int, int] = {}
        for place in np.argsort(sign * lead, kind="stable"):
            chosen.setdefault(int(scores.videos[place]), int(place))
            if len(chosen) == shown:
                break
        found = [_clip(scores, data, card, clips, video, place) for video, place in chosen.items()]
        sections.append(Section(heading, [Clips(found)]))
    return sections


def _clip(scores: Scores, data, card: ModelCard, clips: int, video: int, place: int) -> ClipShown:
    number = place - int(np.flatnonzero(scores.videos == video)[0])
    sampling = card.sampling
    example = int(scores.numbers[video])
    with data.open(example, fps=sampling.fps) as source:
        indices = evaluation_places(source, sampling, clips)[number]
        (pixels,) = clips_at(source, sampling, [indices])
        rate = shown_rate(source, sampling)
        second = float(source.seconds[indices[0]])
    row = scores.probabilities[place]
    answer = ("", scores.labels[int(row.argmax())], float(row.max()))
    name = pathlib.PurePath(str(data.examples[example].path)).name
    return ClipShown(pixels, scores.labels[scores.truth[video]], [answer], rate, f"{name}, {second:.1f} s")


def find_exports(folder) -> list[pathlib.Path]:
    """The exports in a folder and two levels below, in the order of their names."""
    found, left = [], [(pathlib.Path(folder), 0)]
    while left:
        place, depth = left.pop()
        for path in sorted(place.iterdir()):
            if path.name.startswith(".") or path.is_symlink():
                continue
            if _is_export(path):
                found.append(path)
            elif path.is_dir() and depth < FOLDERS_DEEP:
                left.append((path, depth + 1))
    return sorted(found)


def _is_export(path: pathlib.Path) -> bool:
    try:
        # An OpenVINO model has its weights beside it; any other .xml file is something else.
        return format_of(path) != "openvino" or path.with_suffix(".bin").exists()
    except ValueError:
        return False


def _existing(path) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such export")
    format_of(path)
    return path


def size_of(path: pathlib.Path) -> int:
    """Bytes of an export: of a folder all its files, of an .xml file its .bin too."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    beside = path.with_suffix(".bin")
    more = beside.stat().st_size if format_of(path) == "openvino" and beside.exists() else 0
    return path.stat().st_size + more


def _exports(files: list[pathlib.Path], card: ModelCard | None, measure: bool) -> list[Section]:
    if not files:
        return []
    header = ["file", "format", "size"] + (["one clip", "peak memory"] if measure else [])
    rows, faults = [], []
    for path in files:
        row = [path.name, format_of(path), f"{size_of(path) / 1e6:.2f} MB"]
        if measure:
            try:
                row += _measured(path, card)
            except (RuntimeError, ValueError, ImportError) as error:
                faults.append(Text(f"{path.name} could not be run: {printable(error)}", "warning"))
                row += ["-", "-"]
        rows.append(row)
    how = Text("One clip at a time on all cores, the median of five; memory of a process of its own, runtime "
               "included.", "muted")  # fmt: skip
    return [Section("Exports", [Table(header, rows), *faults, *([how] if measure else [])])]


def _measured(path: pathlib.Path, card: ModelCard | None) -> list[str]:
    """Latency and memory of an export, on a clip of the size that it takes."""
    own = load_runner(path).card if card is None else card
    if own is None:
        raise ValueError("it has no card, which says what its clips are")
    pixels = embedded_clips(own.sampling, 1, "test")
    try:
        found = run_export(path, pixels)
    except RuntimeError:  # it takes preprocessed clips
        found = run_export(path, preprocess_input(pixels, own.sampling.preprocessing))
    return [f"{found.latency_seconds * 1e3:.3g} ms", f"{found.peak_memory_bytes / 1e6:.0f} MB"]


def _settings(model: pathlib.Path, card: ModelCard | None, log: dict) -> Section:
    if card is None:
        return Section("Settings", [Text("The run has no card, so that its settings are not known.", "muted")])
    pairs = [("net", card.net), ("classes", len(card.labels) or "-"), ("licence", card.licence or "-"),
             ("trained on", card.trained_on or "-")]  # fmt: skip
    if model.is_file():
        pairs.append((f"{model.name}", f"{model.stat().st_size / 1e6:.2f} MB"))
    pairs += [(f"clips: {name}", value) for name, value in card.sampling.to_dict().items()]
    # A card also has the figures of the last epoch, which the curves show; the rate there is the setting's.
    figures = {*log, "clips_per_second", "data_wait", "seconds"} - {"learning_rate"}
    pairs += [(name, value) for name, value in card.training.items() if name not in figures]
    return Section("Settings", [_pairs(pairs, f"{len(pairs)} settings")])


def _pairs(pairs: list[tuple], folded: str = "") -> Pairs:
    return Pairs([(name, _shown(value)) for name, value in pairs], folded)


def _shown(value) -> str:
    if isinstance(value, (list, tuple)):
        return " x ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)

"""Own studies, from a Python mapping or a small JSON or YAML file."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from keras_res3d.nets.architecture import LARGEST, Architecture
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.remote import opened
from keras_res3d.tasks.studies.folder import LONGEST_NAME, is_name
from keras_res3d.tasks.studies.paper import STUDIES, paper_study
from keras_res3d.tasks.studies.study import NET_FIELDS, SAMPLING_FIELDS, Candidate, Study
from keras_res3d.tasks.studies.yaml_text import parse_yaml
from keras_res3d.untrusted import Range, check, check_plain, parse_json

_SAMPLING = {"stride?": int, "fps?": (float, None), "resize?": ([Range(1, LARGEST["crop"])], None),
             "preprocessing?": str}  # fmt: skip
_SCHEMA = {"name?": str, "question?": str, "study?": (str, None), "base?": (str, None), "fields?": (dict, None),
           "sampling?": (_SAMPLING, None),
           "candidates?": ({str: ({"net?": str, **_SAMPLING}, None)}, None)}  # fmt: skip
KEYS = tuple(name.removesuffix("?") for name in _SCHEMA)
MAX_CHARACTERS = 1_000_000


def read_study(study) -> Study:
    """A study from whatever tells it.

    Args:
        study: a `Study`; the name of one of the paper's; a mapping; or the path of a JSON or YAML file that holds such
            a mapping. Its keys, of which only `candidates` or `study` is needed:

            - `name`, `question`: texts.
            - `study`: a study of the paper, whose candidates are taken where `candidates` is missing.
            - `base`: the net that candidates are variants of, a name of the zoo; sr18, or that of `study`, by default.
            - `fields`: fields of `Architecture` that the base gets, such as `blocks` or `crop`.
            - `sampling`: fields of `Sampling` for all candidates: stride, fps, resize, preprocessing.
            - `candidates`: for each name the fields that it varies, of `Architecture` or of `sampling`, and `net` for a
              net of the zoo in place of the base.

    Raises:
        ValueError: no such study or net, an unknown key, a value out of range, a file that holds no mapping.
        FileNotFoundError: there is no such file.
        ImportError: a YAML file, and PyYAML is missing.
    """
    if isinstance(study, Study):
        return study
    if isinstance(study, Mapping):
        return _from_mapping(study, str(study.get("name", "own")))
    if str(study) in STUDIES:
        return paper_study(str(study))
    path = pathlib.Path(study)
    if not path.exists():
        raise FileNotFoundError(f"the study is {os.fspath(study)}; expected one of {', '.join(STUDIES)}, or a JSON or "
                                "YAML file")  # fmt: skip
    found = _parsed(path)
    if not isinstance(found, Mapping):
        raise ValueError(f"{path} holds {type(found).__name__}; expected a mapping with {', '.join(KEYS)}")
    try:
        check_plain(found)
        check(found, _SCHEMA)
        return _from_mapping(found, path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parsed(path: pathlib.Path):
    try:
        with io.TextIOWrapper(opened(path), encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error}") from error
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{path} is too large; expected a study of up to {MAX_CHARACTERS:,} characters")
    if path.suffix.lower() not in (".yaml", ".yml"):
        try:
            return parse_json(text)
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}; a YAML file is named .yaml") from error
    try:
        return parse_yaml(text)
    except ImportError:
        raise ImportError(f'{path} needs PyYAML: pip install "keras-res3d[search]", or write the study as JSON'
                          ) from None  # fmt: skip
    except ValueError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error


def _from_mapping(given: Mapping, name: str) -> Study:
    _check_keys(given, KEYS, name)
    start = paper_study(given["study"]) if given.get("study") is not None else None
    if start is None and not given.get("candidates"):
        raise ValueError(f"study {name!r} has no candidates; expected them, or the name of a study of the paper")
    fields, sampling = dict(given.get("fields") or {}), dict(given.get("sampling") or {})
    _check_keys(fields, NET_FIELDS, f"{name}: fields")
    if start is not None and not given.get("candidates"):
        if given.get("base") is not None:
            raise ValueError(f"study {name!r} has a base and the candidates of {start.name}, which bring their own; "
                             "leave one out")  # fmt: skip
        with _fitting(fields, name):
            study = start.with_fields(**fields)
        return replace(study, name=given.get("name", name), sampling={**study.sampling, **sampling},
                       question=given.get("question", study.question))  # fmt: skip
    base = _net(given.get("base") or (start.base if start else "sr18"), name)
    rows = given["candidates"]
    if not isinstance(rows, Mapping):
        raise ValueError(f"study {name!r}: candidates is {type(rows).__name__}; expected a mapping from names to "
                         "fields")  # fmt: skip
    base = _replaced(base, fields, name)
    candidates = tuple(_candidate(str(key), row or {}, base, fields, name) for key, row in rows.items())
    return Study(given.get("name", name), given.get("question", ""), "", base, candidates, sampling)


def _candidate(name: str, row: Mapping, base: Architecture, fields: Mapping, study: str) -> Candidate:
    if not is_name(name):
        shown = name if len(name) <= LONGEST_NAME else f"{name[:60]}..."
        raise ValueError(f"study {study!r}: a candidate is called {shown!r}; expected letters, digits, ., _, + and -, "
                         f"at most {LONGEST_NAME} bytes of them, since a folder gets its name")  # fmt: skip
    where = f"{study}: {name}"
    _check_keys(row, ("net", *NET_FIELDS, *SAMPLING_FIELDS), where)
    changes = {key: value for key, value in row.items() if key in NET_FIELDS}
    net = _replaced(_net(row["net"], where), {**fields, **changes}, where) if "net" in row else None
    net = net or _replaced(base, changes, where)
    return Candidate(name, net, {key: value for key, value in row.items() if key in SAMPLING_FIELDS})


def _net(net, where: str) -> Architecture:
    try:
        return get_architecture(net)
    except TypeError as error:  # neither a name nor an Architecture
        raise ValueError(f"{where}: {error}") from error


def _replaced(net: Architecture, fields: Mapping, where: str) -> Architecture:
    with _fitting(fields, where):
        return replace(net, **fields)


@contextlib.contextmanager
def _fitting(fields: Mapping, where: str) -> Iterator[None]:
    """A number where a list is expected, for example, as a ValueError."""
    try:
        yield
    except TypeError as error:
        raise ValueError(f"{where}: {dict(fields)} does not fit: {error}") from error


def _check_keys(given, known, where: str) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} is {type(given).__name__}; expected a mapping with {', '.join(known)}")
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}; expected some of {', '.join(known)}")

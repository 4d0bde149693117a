"""The store of originals and of the Keras weights made of them: fetched, verified and converted once.

Several processes may use it at once. It is the folder keras_res3d of `KERAS_HOME` (default ~/.keras).
`KERAS_RES3D_WEIGHTS` names a mirror to be read in place of the published addresses: a folder, or an http(s) address to
which the file's name is added.
"""

from __future__ import annotations

import os
import pathlib
import random
import re
import sys
import urllib.parse

import numpy as np

from keras_res3d import __version__
from keras_res3d.io import atomic_path, digest, locked, sweep, write_atomically
from keras_res3d.nets.architecture import Architecture
from keras_res3d.nets.zoo import get_architecture
from keras_res3d.tables import as_json, printable
from keras_res3d.weights.about import CONVERTED, read_sidecar, sidecar_path
from keras_res3d.weights.catalog import WeightsEntry
from keras_res3d.weights.convert import CONVERTER_VERSION
from keras_res3d.weights.download import DownloadError, Patience, clear_part, download
from keras_res3d.weights.formats.hdf5 import vouch_for
from keras_res3d.weights.formats.registry import looks_like_html
from keras_res3d.weights.load import load_weights
from keras_res3d.weights.source import WeightsError

MIRROR_VARIABLE = "KERAS_RES3D_WEIGHTS"


def cache_home() -> pathlib.Path:
    """The cache's folder, which may not exist yet."""
    home = os.environ.get("KERAS_HOME") or pathlib.Path("~/.keras").expanduser()
    return pathlib.Path(home) / "keras_res3d"


def original_path(entry: WeightsEntry) -> pathlib.Path:
    """Where the original lies once fetched."""
    return cache_home() / entry.filename


def converted_path(entry: WeightsEntry) -> pathlib.Path:
    """Where the Keras weights made of the original lie."""
    return cache_home() / f"{entry.net}-{entry.tag}{CONVERTED}"


def state_of(entry: WeightsEntry) -> str:
    """What the cache has: "converted", "cached" (the original alone) or "". Digests are not compared."""
    if converted_path(entry).exists():
        return "converted"
    return "cached" if original_path(entry).exists() else ""


def expected_digest(entry: WeightsEntry) -> str | None:
    """The digest that the original must have: the published one, or the recorded one, or None."""
    return _expected(entry)[0]


def _record_path(entry: WeightsEntry) -> pathlib.Path:
    return cache_home() / f"{entry.filename}.sha256"


def _expected(entry: WeightsEntry) -> tuple[str | None, str]:
    """The digest that the original must have, or None, and where it comes from."""
    if entry.sha256:
        return entry.sha256, "published"
    record = _record_path(entry)
    if not record.exists():
        return None, ""
    match = re.match(r"[0-9a-f]{64}\b", record.read_text(errors="replace"))
    if not match:
        raise DownloadError(f"{record} does not begin with a SHA-256 digest; remove it to accept the file beside it")
    return match[0], f"recorded at the first download in {record}"


def _check(entry: WeightsEntry, path: pathlib.Path) -> str | None:
    """What is wrong with the file at `path`, or None."""
    with open(path, "rb") as file:
        start = file.read(512)
    if not start:
        return "is empty"
    if looks_like_html(start):
        return "is a web page, not a weights file"
    expected, origin = _expected(entry)
    found = digest(path)
    if expected and found != expected:
        return f"has SHA-256 {found}; expected {expected} ({origin})"
    return None


def _record(entry: WeightsEntry, path: pathlib.Path) -> None:
    """Keeps the digest of a file whose digest nobody published: from now on it must not change."""
    if not entry.sha256 and not _record_path(entry).exists():
        write_atomically(_record_path(entry), f"{digest(path)}  {entry.filename}\n")


def _advice(entry: WeightsEntry) -> str:
    if not entry.url:
        return (
            f"Nobody is known to serve it. If you have {entry.filename}, put it at {original_path(entry)}, or set "
            f"{MIRROR_VARIABLE} to a folder (or an http address) that has it"
        )
    return (
        f"Get {entry.url} on a machine that can, put it at {original_path(entry)}, or set {MIRROR_VARIABLE} to a "
        f"folder (or an http address) that has {entry.filename}"
    )


def _from_folder(entry: WeightsEntry, folder: pathlib.Path) -> pathlib.Path:
    """The original in a mirror folder, used where it lies."""
    published_name = pathlib.PurePosixPath(urllib.parse.urlsplit(entry.url).path).name
    for name in dict.fromkeys((entry.filename, published_name or entry.filename)):
        path = folder / name
        if path.is_file():
            if fault := _check(entry, path):
                raise DownloadError(f"{path} (from {MIRROR_VARIABLE}) {fault}. Replace it with {entry.source}")
            _record(entry, path)
            return path
    raise DownloadError(f"{folder} (from {MIRROR_VARIABLE}) has no file {entry.filename}. Put {entry.source} there")


def _download(entry: WeightsEntry, target: pathlib.Path, url: str, private: bool, patience, stream) -> pathlib.Path:
    part = target.with_name(f"{target.name}.{os.getpid()}.part" if private else f"{target.name}.part")
    try:
        # Four times the weights leave room for a solver's state, and for numbers of double precision.
        download(url, part, entry.name, patience, stream, most=4 * entry.estimated_bytes + (64 << 20))
    except DownloadError as error:
        raise DownloadError(f"{entry.name} could not be downloaded from {url}: {error}. {_advice(entry)}") from error
    if fault := _check(entry, part):
        clear_part(part)
        hint = (
            f"if the publisher has replaced the file and you trust it, remove {_record_path(entry)} and try again"
            if not entry.sha256
            else "try again; if it stays so, the address no longer serves the published file, so use another source"
        )
        raise DownloadError(f"{entry.name} downloaded from {url} {fault}. The download was removed; {hint}")
    os.replace(part, target)
    clear_part(part)
    _record(entry, target)
    return target


def fetch(entry: WeightsEntry, patience: Patience | None = None, stream=None) -> pathlib.Path:
    """The original file of `entry`, from the cache, from the mirror or from its address, in this order.

    Args:
        entry: a row of the catalog.
        patience: time-out, retries and back-off of the download; None means the defaults.
        stream: where the progress line is written. None means stderr, where it only shows on a terminal.

    Returns:
        Path of a file with the published digest, or with the one recorded when it was first seen.

    Raises:
        DownloadError: it cannot be downloaded or is not the right file; the message says which file to put where.
    """
    target = original_path(entry)
    try:
        with locked(target, f"{entry.name}: waiting for another process that is fetching it") as held:
            if target.exists():
                fault = _check(entry, target)
                if fault is None:
                    _record(entry, target)
                    return target
                aside = target.with_name(f"{target.name}.rejected")
                os.replace(target, aside)
                print(f"{printable(target)} {fault}; moved to {aside.name} and fetched again", file=sys.stderr)
            mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
            if mirror and not re.match(r"https?://", mirror):
                return _from_folder(entry, pathlib.Path(mirror).expanduser())
            url = f"{mirror.rstrip('/')}/{urllib.parse.quote(entry.filename)}" if mirror else entry.url
            if not url:
                raise DownloadError(f"{entry.name} has no public address. {_advice(entry)}")
            return _download(entry, target, url, not held, patience, stream)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"{entry.name}: {error}. Set KERAS_HOME to a folder that can be written. {_advice(entry)}"
        ) from error


def reject(entry: WeightsEntry, path: pathlib.Path) -> str:
    """Withdraws a file that does not hold the weights, with the digest recorded for it; says what was done."""
    if entry.sha256:
        return f"{path} has the published digest"
    _record_path(entry).unlink(missing_ok=True)
    if path != original_path(entry):
        return f"replace {path} by {entry.source}"
    aside = path.with_name(f"{path.name}.rejected")
    os.replace(path, aside)
    return f"moved to {aside}; the next use fetches it again"


def _load_original(entry: WeightsEntry, architecture: Architecture, original: pathlib.Path):
    """The net at the source's own classes and clip length, every one of its weights read from the original."""
    # Listing what there is needs no Keras.
    import keras

    from keras_res3d.nets.build import build_graph

    policy, state = keras.config.dtype_policy(), random.getstate()
    try:
        # The file must not depend on the caller's precision, nor his random numbers on whether it was there already.
        keras.config.set_dtype_policy("float32")
        shape = (entry.frames, *entry.crop, 3)
        model = build_graph(architecture, input_shape=shape, classes=entry.classes, classifier_activation=None)
    finally:
        keras.config.set_dtype_policy(policy)
        random.setstate(state)
    for variable in model.weights:
        variable.assign(np.full(variable.shape, np.nan, np.float32))
    load_weights(model, original, source_frames=entry.frames)
    unread = [variable.path for variable in model.weights if np.isnan(np.asarray(variable)).any()]
    if unread:
        raise WeightsError(f"{original} has nothing for {', '.join(unread)}; {entry.name} must fill every weight")
    return model


def _write(model, target: pathlib.Path, fields: dict) -> None:
    """Weights and JSON, each atomically. A kill between the two leaves digests that disagree, and a new conversion."""
    sweep(target)
    with atomic_path(target) as aside:
        model.save_weights(aside)
        fields = {**fields, "sha256": digest(aside)}
    write_atomically(sidecar_path(target), as_json(fields))


def _describe(entry: WeightsEntry, original: pathlib.Path) -> dict:
    names = ("net", "tag", "classes", "labels", "licence", "trained_on", "contaminated_for", "remark")
    return {
        "format": 1,
        "converter": CONVERTER_VERSION,
        "package": f"keras_res3d {__version__}",
        "source": entry.source,
        "source_sha256": digest(original),
        **{name: getattr(entry, name) for name in names},
        **entry.sampling_fields(),
        "metrics": dict(entry.metrics),
        "metrics_source": entry.metrics_source,
    }


def _is_current(entry: WeightsEntry, target: pathlib.Path) -> bool:
    """Whether the converted file is whole, of this source, and such as this version would make it."""
    fields = read_sidecar(target)
    return (
        fields is not None
        and target.exists()
        and fields.get("source") == entry.source
        and fields.get("converter") == CONVERTER_VERSION
        and expected_digest(entry) in (None, fields["source_sha256"])
        and fields.get("sha256") == digest(target)
    )


def converted(entry: WeightsEntry, architecture: Architecture | None = None, patience: Patience | None = None,
              stream=None) -> pathlib.Path:  # fmt: skip
    """The Keras weights of `entry`; they are made from the original where they are missing, damaged or outdated.

    Args:
        entry: a row of the catalog.
        architecture: the net; None means the zoo's row of that name.
        patience, stream: of the download, see `fetch`.

    Returns:
        Path of a `.weights.h5` file whose digest was just verified; its JSON has source, licence and sampling.

    Raises:
        DownloadError: the original cannot be downloaded.
        WeightsError: the original does not hold this net's weights.
    """
    target = converted_path(entry)
    with locked(target, f"{entry.name}: waiting for another process that is converting it"):
        if _is_current(entry, target):
            vouch_for(target)
            return target
        original = fetch(entry, patience, stream)
        print(f"{entry.name}: converting {printable(original)}\n{entry.name}: licence {entry.licence}", file=sys.stderr)
        try:
            model = _load_original(entry, architecture or get_architecture(entry.net), original)
        except WeightsError as error:
            raise WeightsError(f"{entry.name}: {error} ({reject(entry, original)})") from error
        _write(model, target, _describe(entry, original))
        vouch_for(target)
    return target

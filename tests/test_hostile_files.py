"""The files that got through the first release in some way, each by what reads its kind: a typed error, or read.

`shared/data/hostile` holds them; made ones of the same kinds, which run everywhere, are in the tests of each reader.
"""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from keras_res3d.cards import read_card
from keras_res3d.data.layouts.registry import LAYOUTS
from keras_res3d.data.open import read_layout
from keras_res3d.data.pack import _finished, _is_whole
from keras_res3d.data.sources.packed import PackedDataSet
from keras_res3d.data.sources.shards import PackedVideoError, Shard, sizes_in
from keras_res3d.data.types import DataError
from keras_res3d.training import checkpoint
from keras_res3d.weights.formats.registry import read_tensors


@pytest.fixture
def hostile(shared_data):
    return sorted((shared_data / "hostile").iterdir())


def outcome(read, error=(ValueError, OSError)) -> str | None:
    """What a typed error says; None where the file was read. Every other error is the test's."""
    try:
        read()
    except error as caught:
        return str(caught)
    return None


def of(hostile, start):
    found = [path for path in hostile if path.name.startswith(start)]
    assert found
    return found


def test_cards(hostile, tmp_path):
    read = 0
    for path in of(hostile, "fuzz_card_"):
        shutil.copy(path, tmp_path / "model.json")
        told = outcome(lambda: read_card(tmp_path / "model.keras"))
        read += told is None
        assert told is None or (f"{tmp_path / 'model.json'}: not a model card (" in told and "\n" not in told)
    assert read == 1  # the one without `trained_on`, which may be missing


def test_checkpoints(hostile, tmp_path):
    for path in of(hostile, "fuzz_checkpoint_"):
        shutil.copy(path, tmp_path / checkpoint.FILE)
        told = outcome(lambda: checkpoint.load(tmp_path), ValueError)
        assert told is None or f"{tmp_path / checkpoint.FILE} is damaged (" in told


def test_indexes(hostile, tmp_path):
    for path in of(hostile, "fuzz_index_"):
        for records in (0, 1, 2):
            index = {"file": path.name, "bytes": 0, "sha256": ""}
            shard = Shard(path.parent, {"file": "x", "records": records, "bytes": 7048, "index": index, "videos": []})
            told = outcome(shard._read_index, PackedVideoError)
            assert told is None or f"index {path} " in told


def test_manifests(hostile, tmp_path):
    for path in of(hostile, "fuzz_manifest_"):
        shutil.copy(path, tmp_path / "manifest.json")
        assert str(tmp_path) in outcome(lambda: PackedDataSet(tmp_path), DataError)


def test_resuming_a_pack(hostile, tmp_path):
    settings = {"format": "keras_res3d shards 1", "source": {"name": "x", "sha256": "0" * 64}, "classes": ["a", "b"]}
    for number, path in enumerate(of(hostile, "fuzz_packresume_")):
        case, folder = json.loads(path.read_text()), tmp_path / str(number)
        folder.mkdir()
        written = case["data"] if case["which"] == "packing" else json.dumps(settings)
        (folder / "packing.json").write_text(written, "utf-8")
        if case["which"] == "entry":
            (folder / ".shard-00000.tfrecord.json").write_text(case["data"], "utf-8")
            assert _finished(folder, settings) == []
        else:
            assert str(folder) in outcome(lambda folder=folder: _finished(folder, settings), ValueError)
    assert not _is_whole(tmp_path, {"file": "a", "records": 0, "frames": 0, "bytes": 1, "sha256": "", "videos": [],
                                    "index": {"file": "b", "bytes": 1, "sha256": ""}, "left_out": []},
                         sizes_in(tmp_path))  # fmt: skip


def test_lists(hostile, tmp_path):
    for number, path in enumerate(of(hostile, "fuzz_lists_")):
        case, folder = json.loads(path.read_text()), tmp_path / str(number)
        for name, text in case["files"].items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8", newline="")
        assert case["kind"] in LAYOUTS
        told = outcome(lambda folder=folder, kind=case["kind"]: read_layout(kind, folder, folder), DataError)
        assert told and any(f"{os.path.basename(name)} line" in told or "line" in told for name in case["files"]), told


def test_weights(hostile):
    for kind in ("fuzz_caffe_", "fuzz_pth_", "fuzz_pthold_", "scale_factor"):
        for path in of(hostile, kind):
            told = outcome(lambda path=path: read_tensors(path))
            assert told is None or path.name in told
            if told is None:
                assert all(np.isfinite(array).all() for array in read_tensors(path).tensors.values())

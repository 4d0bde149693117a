"""The parsers: how a good input of each is made, and what reads it. A new parser is a row of `TARGETS`."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import json
import pathlib
import socket
import struct
import threading
from collections.abc import Callable

import numpy as np

from keras_res3d.data.types import DataError
from tools.fuzzing.loop import Target

RNG = np.random.default_rng(0)


def _tensors() -> dict[str, np.ndarray]:
    return {
        "conv.weight": RNG.normal(size=(4, 3, 1, 2, 2)).astype(np.float32),
        "fc.bias": np.arange(5, dtype=np.float32),
    }


def _caffemodels(folder: pathlib.Path) -> dict[str, bytes]:
    from tests.weights.writers import caffemodel_bytes

    layers = {"conv1a": [np.ones((4, 3, 1, 3, 3), np.float32)], "fc8": [np.ones((1, 1, 5, 4), np.float32), np.ones(5)],
              "bn": [np.ones(4), np.ones(4), np.ones(1)]}  # fmt: skip
    return {"a.caffemodel": caffemodel_bytes(layers), "b.caffemodel": caffemodel_bytes(layers, packed=False),
            "c.caffemodel": caffemodel_bytes(layers, variant="c3d")}  # fmt: skip


def _pths(folder: pathlib.Path) -> dict[str, bytes]:
    from tests.weights.writers import write_pth, write_stream

    return {"a.pth": write_pth(folder / "a.pth", _tensors()).read_bytes(),
            "b.pth": write_stream(folder / "b.pth", _tensors()).read_bytes()}  # fmt: skip


def _safetensors(folder: pathlib.Path) -> dict[str, bytes]:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in _tensors().items():
        header[name] = {
            "dtype": "F32",
            "shape": list(value.shape),
            "data_offsets": [len(data), len(data) + value.nbytes],
        }
        data += value.tobytes()
    text = json.dumps(header).encode()
    return {"a.safetensors": struct.pack("<Q", len(text)) + text + data}


def _hdf5s(folder: pathlib.Path) -> dict[str, bytes]:
    import h5py

    with h5py.File(folder / "a.weights.h5", "w") as file:
        for layer, value in _tensors().items():
            file.create_dataset(f"layers/{layer}/vars/0", data=value)
            file[f"layers/{layer}/vars"].attrs["name"] = layer
    return {"a.weights.h5": (folder / "a.weights.h5").read_bytes()}


def _weights(path: pathlib.Path):
    from keras_res3d.weights.formats.registry import read_tensors

    tensors = read_tensors(path).tensors
    return [(name, value.shape, value.tobytes()) for name, value in tensors.items()]


def _model_files(folder: pathlib.Path) -> dict[str, bytes]:
    import keras

    from keras_res3d.cards import save_model

    clip = keras.Input((2, 8, 8, 3))
    x = keras.layers.GlobalAveragePooling3D()(keras.layers.Conv3D(2, 3)(keras.layers.ZeroPadding3D(1)(clip)))
    model = keras.Model(clip, keras.layers.Dense(3)(x))
    save_model(model, folder / "a.keras", labels=("a", "b", "c"))
    return {"a.keras": (folder / "a.keras").read_bytes()}


def _model(path: pathlib.Path):
    from keras_res3d.inference.classifier import load_model

    found = load_model(path)
    return found.card, [value.tobytes() for value in found.model.get_weights()]


def _card(folder: pathlib.Path) -> dict[str, bytes]:
    from keras_res3d.cards import ModelCard
    from keras_res3d.data.clips import Sampling
    from keras_res3d.nets.zoo import get_architecture

    card = ModelCard("sr18", ("a", "b"), Sampling(16, 2, (128, 171), (112, 112)), "CC0", "ucf101 split 1", {"seed": 1},
                     get_architecture("sr18"), 16, seen={"name": "x", "videos": 3})  # fmt: skip
    return {"a.json": card.to_json().encode()}


def _read_card(path: pathlib.Path):
    from keras_res3d.cards import read_card

    return read_card(path.with_suffix(".keras"))


LIST = "path,label,group\n" + "".join(f"{name}.avi,{'left' if name < 'c' else 'right'},g1\n" for name in "abcdef")
LAYOUTS = {
    "ucf101": {"classInd.txt": "1 run\n2 walk\n",
               "trainlist01.txt": "".join(f"{c}/v_{c}_g0{n}_c01.avi {1 + (c == 'walk')}\n" for c in ("run", "walk")
                                          for n in range(1, 6))},
    "hmdb51": {f"{c}_test_split1.txt": "".join(f"film{n}_{c}_f_cm_np1_fr_med_{n}.avi {n % 3}\n" for n in range(8))
               for c in ("run", "walk")},
    "kinetics": {"train.csv": "label,youtube_id,time_start,time_end,split\n"
                 + "".join(f"{c},abcdefghi{c[0]}{n},{n},{n + 10},train\n" for c in ("run", "walk") for n in range(5))},
    "sports1m": {"train_partition.txt": "".join(f"http://www.youtube.com/watch?v=abcdefghij{n} {n},{n + 3}\n"
                                                for n in range(8))},
    "caffe": {"train_01.lst": "".join(f"run/v{n}/ {1 + 16 * n} {n % 2}\n" for n in range(8))},
}  # fmt: skip


def _layout_seeds(name: str) -> Callable:
    return lambda folder: {file: text.encode() for file, text in LAYOUTS[name].items()}


def _layout(name: str) -> Callable:
    def read(path: pathlib.Path):
        from keras_res3d.data.open import list_layout

        listing = list_layout(name, path.parent, path.parent, check_files=False)
        if listing.faults:
            raise DataError(str(path), listing.faults)
        return listing.classes, [str(row) for row in listing.rows]

    return read


def _lists(folder: pathlib.Path) -> dict[str, bytes]:
    for name in "abcdef":
        (folder / f"{name}.avi").touch()
    return {"a.csv": LIST.encode(), "b.csv": LIST.replace(",", "\t").encode(), "c.csv": LIST.encode("utf-8-sig")}


def _list(path: pathlib.Path):
    from keras_res3d.data.open import read_data_set

    found = read_data_set(path)
    return found.classes, [str(example) for example in found.examples]


def _video_lists(folder: pathlib.Path) -> dict[str, bytes]:
    return {"a.txt": b"# videos\na.avi\nb/c d.mp4\n", "b.csv": LIST.encode()}


def _video_list(path: pathlib.Path):
    from keras_res3d.data.video_list import listed_videos

    return listed_videos(path)


def _jpeg(number: int) -> bytes:
    from keras_res3d.data.images import encode_jpeg

    return encode_jpeg(np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8), 80)


def _shard_folder(folder: pathlib.Path) -> dict[str, bytes]:
    """A folder of one shard, as `pack` writes it; the record is not read as TensorFlow does, only its JPEGs are."""
    from keras_res3d.data.sources.shards import FORMAT, MANIFEST, ShardIndex

    jpegs = [_jpeg(number) for number in range(6)]
    data, offsets = b"\0" * 12, []
    for jpeg in jpegs:
        offsets.append(len(data))
        data += jpeg
    sizes = [len(jpeg) for jpeg in jpegs]
    index = ShardIndex(np.array([0, 3, 6]), np.array(offsets), np.array(sizes), np.arange(6) / 25).to_bytes()
    common = {"group": None, "frames": 3, "sha256": "0" * 64, "faults": 0}
    videos = [{"name": f"{label}/{label}.avi", "label": label, **common} for label in ("run", "walk")]
    entry = {"file": "shard-00000.tfrecord", "records": 2, "frames": 6, "bytes": len(data),
             "sha256": hashlib.sha256(data).hexdigest(), "videos": videos, "left_out": [],
             "index": {"file": "shard-00000.index.npz", "bytes": len(index),
                       "sha256": hashlib.sha256(index).hexdigest()}}  # fmt: skip
    manifest = {"format": FORMAT, "source": {"name": "made", "sha256": "0" * 64}, "classes": ["run", "walk"],
                "mirror_safe": True, "resize": [16, 16], "resizer": "OpenCV INTER_LINEAR", "quality": 80,
                "shard_bytes": 1000, "records": 2, "frames": 6, "bytes": len(data), "left_out": [],
                "shards": [entry]}  # fmt: skip
    (folder / "shard-00000.tfrecord").write_bytes(data)
    (folder / "shard-00000.index.npz").write_bytes(index)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return {MANIFEST: (folder / MANIFEST).read_bytes()}


def _packed(path: pathlib.Path):
    from keras_res3d.data.sources.packed import PackedDataSet

    found = PackedDataSet(path.parent)
    frames = []
    for number in range(len(found)):
        with found.open(number) as video:
            frames += [pixels.tobytes() for _, pixels in video.frames(range(video.num_frames))]
    return found.classes, [str(example) for example in found.examples], frames


def _with_right_digest(path: pathlib.Path, place: Callable) -> None:
    """Lets the manifest beside a damaged shard or index vouch for it: only then is it read."""
    manifest = json.loads((path.parent / "manifest.json").read_text())
    entry, data = place(manifest["shards"][0]), path.read_bytes()
    entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (path.parent / "manifest.json").write_text(json.dumps(manifest))


def _indexes(folder: pathlib.Path) -> dict[str, bytes]:
    _shard_folder(folder)
    return {"shard-00000.index.npz": (folder / "shard-00000.index.npz").read_bytes()}


def _index(path: pathlib.Path):
    _with_right_digest(path, lambda entry: entry["index"])
    return _packed(path)


def _shards(folder: pathlib.Path) -> dict[str, bytes]:
    _shard_folder(folder)
    return {"shard-00000.tfrecord": (folder / "shard-00000.tfrecord").read_bytes()}


def _shard(path: pathlib.Path):
    _with_right_digest(path, lambda entry: entry)
    return _packed(path)


def _packing(folder: pathlib.Path) -> dict[str, bytes]:
    _shard_folder(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    settings = {
        name: manifest[name] for name in manifest if name not in ("shards", "records", "frames", "bytes", "left_out")
    }
    (folder / "settings").write_text(json.dumps(settings))
    return {"packing.json": json.dumps(settings).encode(),
            ".shard-00000.tfrecord.json": json.dumps(manifest["shards"][0]).encode()}  # fmt: skip


def _going_on(path: pathlib.Path):
    """What `pack` makes of a folder that it left unfinished."""
    from keras_res3d.data import pack

    return pack._finished(path.parent, json.loads((path.parent / "settings").read_text()))


def _checkpoints(folder: pathlib.Path) -> dict[str, bytes]:
    from keras_res3d.training import checkpoint

    values = [np.arange(5, dtype=np.float32), np.array(7), np.ones((3, 4), np.float32)]
    checkpoint.save(folder, values, {"step": 3, "identity": {"net": {"name": "x"}}, "history": {"loss": [0.5]}})
    return {checkpoint.FILE: (folder / checkpoint.FILE).read_bytes()}


def _checkpoint(path: pathlib.Path):
    from keras_res3d.training import checkpoint

    values, state = checkpoint.load(path.parent)
    return [(value.shape, str(value.dtype), value.tobytes()) for value in values], state


CONVERTED = b"what the record's digest is of"


def _records(folder: pathlib.Path) -> dict[str, bytes]:
    digest = hashlib.sha256(CONVERTED).hexdigest()
    fields = {"format": 1, "source_sha256": "0" * 64, "sha256": digest, "net": "sr18", "classes": 101,
              "labels": "ucf101", "frames": 16, "stride": 2, "resize": [128, 171], "crop": [112, 112], "fps": None,
              "preprocessing": "res3d", "licence": "CC0", "trained_on": "ucf101"}  # fmt: skip
    return {"a.json": json.dumps(fields).encode()}


def _record(path: pathlib.Path):
    from keras_res3d.weights.about import describe_source
    from keras_res3d.weights.source import Source

    weights = path.with_name(f"{path.stem}.weights.h5")
    weights.write_bytes(CONVERTED)
    found = describe_source(Source(weights, "keras", {}))
    return (
        found.net, found.architecture, found.frames, found.labels, found.sampling, found.licence, found.trained_on,
    )  # fmt: skip


STUDY = {"name": "own", "question": "which?", "base": "sr18", "fields": {"blocks": [1, 1, 1, 1], "crop": 32},
         "sampling": {"stride": 1}, "candidates": {"a": {"frames": 8}, "b": {"net": "mc3", "stride": 2}}}  # fmt: skip


def _studies(folder: pathlib.Path) -> dict[str, bytes]:
    papers = {"study": "depth", "fields": {"crop": 32, "classes": 5}, "sampling": {"resize": [36, 40]}}
    found = {"a.json": json.dumps(STUDY).encode(), "c.json": json.dumps(papers).encode()}
    if importlib.util.find_spec("yaml"):
        found["b.yaml"] = json.dumps(STUDY, indent=1).encode()  # JSON is YAML, too
    return found


def _study(path: pathlib.Path):
    from keras_res3d.tasks.studies.read import read_study

    return read_study(path)


def _truth():
    from keras_res3d.tasks.detection.moments import Annotations

    names = tuple(f"video_test_{number:07d}" for number in (1, 2, 3))
    return Annotations(
        "made", ("Run", "Jump"), names, np.array([0, 1, 0]), np.array([[1.0, 2.0]] * 3), dict.fromkeys(names, 60.0)
    )


def _detections(folder: pathlib.Path) -> dict[str, bytes]:
    text = io.StringIO()
    csv.writer(text).writerows([("video", "begin", "end", "label", "score"),
                                ("video_test_0000001", 1.0, 2.5, "Run", 0.5),
                                ("video_test_0000002", 3, 4, "Jump", 1e-3)])  # fmt: skip
    rows = {"video_test_0000001": [{"label": "Run", "score": 0.5, "segment": [1.0, 2.5], "window": 16}]}
    return {"b.csv": text.getvalue().encode(),
            "c.json": json.dumps({"version": "1.3", "results": rows, "external_data": {}}).encode()}  # fmt: skip


def _read_detections(path: pathlib.Path):
    from keras_res3d.tasks.detection.detections import read_detections

    found = read_detections(path, _truth())
    return found.videos, found.labels.tolist(), found.spans.tolist(), found.scores.tolist()


def _annotations(folder: pathlib.Path) -> dict[str, bytes]:
    moments = [{"label": "Run", "segment": [1.0, 2.5]}, {"label": "Jump", "segment": [3, 4]}]
    rows = {
        "v1": {"subset": "validation", "duration": 60.0, "annotations": moments[:1]},
        "v2": {"subset": "validation", "duration": 30, "annotations": moments},
    }
    return {"a.json": json.dumps({"version": "1.3", "taxonomy": [], "database": rows}).encode()}


def _read_annotations(path: pathlib.Path):
    from keras_res3d.tasks.detection.annotations import read_annotations

    found = read_annotations(path)
    return found.classes, found.videos, found.labels.tolist(), found.spans.tolist(), found.durations


def _thumos(folder: pathlib.Path) -> dict[str, bytes]:
    return {"Run_val.txt": b"video_1 1.0 2.5\nvideo_2 3 4\n", "detclasslist.txt": b"7 Run\n9 Jump\n",
            "Jump_val.txt": b"video_1 5.0 6.5\n"}  # fmt: skip


def _read_thumos(path: pathlib.Path):
    return _read_annotations(path.parent)


def _window_weights(folder: pathlib.Path) -> dict[str, bytes]:
    table = {"lengths": [16, 32], "classes": {"Run": [0.5, 1.0], "Jump": [1.0, 2.0]}}
    return {"b.json": json.dumps({"weights": table}).encode()}


def _read_window_weights(path: pathlib.Path):
    from keras_res3d.tasks.detection.weights_file import read_window_weights

    found = read_window_weights(path)
    return found.lengths, found.classes, found.table.tolist()


def _matrices(folder: pathlib.Path) -> dict[str, bytes]:
    from scipy.io import savemat

    table = np.zeros((4, 11))
    table[:, 0], table[:, 1], table[:, 4], table[:, 5], table[:, 8], table[:, 10] = 1, 16, 1.0, 2.5, 0.5, [1, 2, 0, 1]
    savemat(folder / "detections.mat", {"seg_swin": table})
    savemat(folder / "weights.mat", {"weight": np.ones((6, 20))})
    return {name: (folder / name).read_bytes() for name in ("detections.mat", "weights.mat")}


def _matrix(path: pathlib.Path):
    return _read_detections(path) if path.stem == "detections" else _read_window_weights(path)


def _header() -> dict:
    from keras_res3d.tasks.feature_folder import FORMAT

    return {"format": FORMAT, "model": {"name": "x", "digest": "0" * 64}, "layers": {"pool5": 4}, "per_clip": True,
            "sampling": {"frames": 16, "stride": 2, "resize": [128, 171], "crop": [112, 112], "fps": None,
                         "preprocessing": "res3d"}, "step": 16, "normalized": False, "data": []}  # fmt: skip


def _headers(folder: pathlib.Path) -> dict[str, bytes]:
    from keras_res3d.tasks.feature_folder import HEADER

    return {HEADER: json.dumps(_header()).encode()}


def _read_header(path: pathlib.Path):
    from keras_res3d.tasks.feature_folder import read_header

    return read_header(path.parent)


def _parts(folder: pathlib.Path) -> dict[str, bytes]:
    from keras_res3d.tasks.feature_folder import write_part
    from keras_res3d.tasks.feature_parts.base import VideoRow

    rows = [VideoRow("a.avi", "run", None, 0, 100, 2), VideoRow("b.avi", None, None, 1, 100, 0, "is damaged")]
    write_part(
        folder / "a.npz", _header(), rows, np.array([[0.0, 1.0], [1.0, 2.0]]), {"pool5": np.ones((2, 4), np.float32)}
    )
    return {"a.npz": (folder / "a.npz").read_bytes()}


def _part(path: pathlib.Path):
    from keras_res3d.tasks.feature_folder import open_part

    with open_part(path, _header()) as part:
        return part.videos, part.seconds().tobytes(), part.values("pool5").tobytes()


def _videos(folder: pathlib.Path) -> dict[str, bytes]:
    import av

    found = {}
    for name, codec in (("a.mp4", "mpeg4"), ("b.avi", "mjpeg"), ("c.mkv", "mpeg4")):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            for number in range(12):
                pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
            container.mux(stream.encode(None))
        found[name] = (folder / name).read_bytes()
    return found


def _video(path: pathlib.Path):
    from keras_res3d.data.open import open_video

    with open_video(path) as video:
        places = range(0, min(video.num_frames, 40), 3)
        return video.num_frames, [pixels.tobytes() for _, pixels in video.frames(places, size=(16, 16))]


def _images(folder: pathlib.Path) -> dict[str, bytes]:
    for number in range(4):
        (folder / f"{number:04}.jpg").write_bytes(_jpeg(number))
    return {"0001.jpg": _jpeg(1)}


def _frame_folder(path: pathlib.Path):
    from keras_res3d.data.open import open_video

    with open_video(path.parent) as video:
        return [pixels.tobytes() for _, pixels in video.frames(range(video.num_frames))]


class _Answering:
    """A server that answers every call with the bytes of a file."""

    def __init__(self):
        self.data, self._socket = b"", socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/file"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                try:
                    connection.settimeout(2)
                    connection.recv(65536)
                    connection.sendall(self.data)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass


_SERVER: list[_Answering] = []


def _answers(folder: pathlib.Path) -> dict[str, bytes]:
    body = bytes(range(256)) * 8
    head = b'HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nETag: "1"\r\nConnection: close\r\n'
    chunked = b"".join(b"%x\r\n%s\r\n" % (512, body[at : at + 512]) for at in range(0, 2048, 512)) + b"0\r\n\r\n"
    return {"a.http": head + b"Content-Length: 2048\r\n\r\n" + body,
            "b.http": head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked}  # fmt: skip


def _download(path: pathlib.Path):
    from keras_res3d.weights.download import Patience, clear_part, download

    if not _SERVER:
        _SERVER.append(_Answering())
    _SERVER[0].data = path.read_bytes()
    part = path.with_name("weights.part")
    clear_part(part)
    return download(
        _SERVER[0].url, part, "weights", Patience(timeout=1, retries=0, backoff=0), io.StringIO()
    ).read_bytes()


def _logs(folder: pathlib.Path) -> dict[str, bytes]:
    return {"log.csv": b"epoch,loss,clip@1,seconds\n1,0.5,0.25,3.5\n2,0.25,0.5,3.25\n"}


def _log(path: pathlib.Path):
    from keras_res3d.training.folder import read_log

    return read_log(path.parent)


TARGETS: dict[str, Target] = {
    "caffemodel": Target(_caffemodels, _weights),
    "pth": Target(_pths, _weights, "zip"),
    "safetensors": Target(_safetensors, _weights),
    "h5": Target(_hdf5s, _weights),
    "keras": Target(_model_files, _model, "zip", heavy=True),
    "card": Target(_card, _read_card, "json"),
    "record": Target(_records, _record, "json"),
    "list": Target(_lists, _list, "lines"),
    "video_list": Target(_video_lists, _video_list, "lines"),
    **{f"layout_{name}": Target(_layout_seeds(name), _layout(name), "lines") for name in LAYOUTS},
    "manifest": Target(_shard_folder, _packed, "json"),
    "index": Target(_indexes, _index, "zip"),
    "shard": Target(_shards, _shard),
    "packing": Target(_packing, _going_on, "json"),
    "checkpoint": Target(_checkpoints, _checkpoint, "zip", heavy=True),
    "study": Target(_studies, _study, "json"),
    "detections": Target(_detections, _read_detections, "json"),
    "annotations": Target(_annotations, _read_annotations, "json"),
    "thumos": Target(_thumos, _read_thumos, "lines"),
    "window_weights": Target(_window_weights, _read_window_weights, "json"),
    # Each file is read by a process of its own, which takes most of a second; the two above are free of it.
    "matlab": Target(_matrices, _matrix),
    "feature_header": Target(_headers, _read_header, "json"),
    "feature_part": Target(_parts, _part, "zip"),
    "video": Target(_videos, _video),
    "frames": Target(_images, _frame_folder),
    "http": Target(_answers, _download, "lines", names_file=False),
    "log": Target(_logs, _log, "lines"),
}

"""The JSON beside a model: read back as written, replaced whole or not at all."""

import dataclasses
import json
import os
import zipfile

import keras
import pytest

from keras_res3d.applications import build_model
from keras_res3d.cards import ModelCard, card_of, card_path, read_card, save_model
from keras_res3d.data.clips import Sampling
from keras_res3d.data.seen import shared_with, sketch_of
from keras_res3d.data.sources.motion import motion_data_set
from keras_res3d.io import write_atomically
from keras_res3d.nets.zoo import ZOO

NARROW = dataclasses.replace(ZOO["d10"], width=4)
CARD = ModelCard(
    "sr18", ("ä", "b"), Sampling(fps=15.0), "CC BY-NC 3.0", "ucf101 split 1", {"epochs": 3}, ZOO["sr18"], 4, True,
    {"name": "a.csv", "videos": 1, "hashes": ["00"], "groups": []},
)  # fmt: skip


def test_cards_survive_json(tmp_path):
    write_atomically(tmp_path / "model.json", CARD.to_json())
    assert read_card(tmp_path / "model.keras") == CARD
    assert read_card(tmp_path) == CARD
    assert card_path(tmp_path / "a.keras") == tmp_path / "a.json"
    assert read_card(tmp_path / "other.keras") is None


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "labels": ["a"], "sampling": {"speed": 3}, "net": ""}'])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(ValueError):
        ModelCard.from_json(text)


def changed(**fields) -> str:
    return json.dumps({**json.loads(CARD.to_json()), **fields})


SAMPLED = CARD.sampling.to_dict()
BUILT = ZOO["sr18"].to_dict()
WRONG = {
    "labels is 'ab'": changed(labels="ab"), "labels is None": changed(labels=None),
    "more than once": changed(labels=["a", "a"]),
    r"labels\[1\] is None": changed(labels=["a", None]), "net is None": changed(net=None), "trim is 1": changed(trim=1),
    "seen.hashes is 3": changed(seen={"hashes": 3}), "format is 3": changed(format=3),
    "multi_label": changed(multi_label=0),
    "frames is 1000000000; .* from 1 to 10,000": changed(sampling={**SAMPLED, "frames": 10**9}),
    "fps is 1000000000000; .* from 0.001 to 10,000": changed(sampling={**SAMPLED, "fps": 10**12}),
    "fps is True": changed(sampling={**SAMPLED, "fps": True}),
    "too large": changed(sampling={**SAMPLED, "stride": 10**30}),
    "stride is .* from 1 to 1,000,000": changed(sampling={**SAMPLED, "stride": 10**9}),
    r"resize is \[128000, 171\]": changed(sampling={**SAMPLED, "resize": [128000, 171]}),
    "pixels; expected up to": changed(sampling={**SAMPLED, "frames": 9999, "resize": [9999, 9999]}),
    "sampling is": changed(sampling=[]), "frames is 10000000": changed(frames=10**7), "nested": "[" * 10**5,
    "blocks is .* from 1 to 1,000": changed(architecture={**BUILT, "blocks": [10**9, 2, 2, 2]}),
    "width is": changed(architecture={**BUILT, "width": 2**60}),
    "strides is": changed(architecture={**BUILT, "strides": [[1]] * 5}),
    "not iterable": changed(architecture={**BUILT, "blocks": 3}), "unexpected": changed(more=1), "not JSON": "\0",
}  # fmt: skip


@pytest.mark.parametrize("told", WRONG)
def test_cards_of_any_content_are_refused_in_one_line_with_the_range(tmp_path, told):
    (tmp_path / "model.json").write_text(WRONG[told])
    with pytest.raises(ValueError, match="Expecting value" if told == "not JSON" else told) as caught:
        read_card(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'model.json'}: not a model card (") and "\n" not in said and len(said) < 700


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]


def test_cards_of_the_first_format_are_read():
    fields = json.loads(CARD.to_json())
    old = {name: fields[name] for name in ("net", "labels", "sampling", "licence", "trained_on", "training")}
    card = ModelCard.from_json(json.dumps({**old, "format": 1}))
    assert card.architecture is None and card.labels == CARD.labels and card.sampling == CARD.sampling


def test_one_line_saves_a_users_own_model(tmp_path):
    body = build_model(NARROW, include_top=False, pooling="avg", input_shape=(4, 32, 32, 3), trim=True)
    model = keras.Model(body.input, keras.layers.Dense(2, activation="softmax")(body.output), name="mine")
    sampling = Sampling(frames=4, stride=1, resize=(32, 32), crop=(32, 32))
    written = save_model(model, tmp_path / "mine.keras", labels=["a", "b"], sampling=sampling, licence="MIT")
    card = read_card(tmp_path / "mine.keras")
    assert card == written
    assert (card.labels, card.sampling, card.licence, card.frames, card.trim) == (("a", "b"), sampling, "MIT", 4, True)
    assert dataclasses.replace(card.architecture, name="d10", classes=NARROW.classes) == dataclasses.replace(
        NARROW, crop=32
    )
    with pytest.raises(ValueError, match="3 names"):
        save_model(model, tmp_path / "mine.keras", labels="abc", sampling=sampling)
    with pytest.raises(ValueError, match=r"\.keras"):
        save_model(model, tmp_path / "mine.h5", card)
    assert read_card(tmp_path / "mine.keras") == card and sorted(os.listdir(tmp_path)) == ["mine.json", "mine.keras"]
    with zipfile.ZipFile(tmp_path / "mine.keras") as archive:
        assert archive.read("keras_res3d/model.json") == (tmp_path / "mine.json").read_bytes()


def test_a_net_of_another_family_has_a_card_without_an_architecture():
    inputs = keras.Input((4, 8, 8, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling3D()(inputs), name="other")
    card = card_of(model)
    assert (card.net, card.architecture, card.frames, card.sampling.crop) == ("other", None, 4, (8, 8))


def test_sketches_tell_shared_videos():
    train, test = motion_data_set("train"), motion_data_set("test")
    sketch = json.loads(json.dumps(sketch_of(train)))
    assert shared_with(sketch, train) == (1600, 0) and shared_with(sketch, test) == (0, 0)


def test_several_labels_are_said_only_where_it_is_so(tmp_path):
    assert "multi_label" not in CARD.to_json()  # earlier releases refuse fields that they do not know
    several = dataclasses.replace(CARD, multi_label=True)
    assert json.loads(several.to_json())["multi_label"] is True and ModelCard.from_json(several.to_json()) == several
    with pytest.raises(ValueError, match="multi_label is 'yes'; expected true or false"):
        ModelCard.from_json(several.to_json().replace('"multi_label": true', '"multi_label": "yes"'))
    inputs = keras.Input((4, 8, 8, 3))
    outputs = keras.layers.Dense(2, activation="sigmoid")(keras.layers.GlobalAveragePooling3D()(inputs))
    model = keras.Model(inputs, outputs)
    assert save_model(model, tmp_path / "a.keras", labels=("x", "y"), multi_label=True).multi_label
    assert save_model(model, tmp_path / "a.keras", read_card(tmp_path / "a.keras")).multi_label

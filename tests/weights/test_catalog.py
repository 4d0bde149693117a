"""The rows: complete, consistent with the zoo, found by name."""

import dataclasses
import pathlib

import pytest

from keras_res3d.data.clips import Sampling
from keras_res3d.data.labels import LABEL_SETS
from keras_res3d.data.transform import PREPROCESSING
from keras_res3d.nets.zoo import ZOO, get_architecture
from keras_res3d.weights import catalog
from keras_res3d.weights.contamination import ContaminatedError, check_evaluation
from keras_res3d.weights.formats.registry import SUFFIXES

ROWS = catalog.entries()


@pytest.mark.parametrize("entry", ROWS, ids=lambda entry: entry.name)
def test_row_fits_the_zoo(entry):
    net = get_architecture(entry.net)
    assert entry.net in ZOO
    assert entry.classes == LABEL_SETS[entry.labels]
    assert entry.preprocessing in PREPROCESSING
    assert Sampling(**entry.sampling_fields()).crop == (net.crop, net.crop)
    assert entry.filename.endswith({"caffemodel": ".caffemodel", "pth": ".pth"}[entry.format])
    assert entry.licence == ("CC BY-NC 3.0" if entry.format == "caffemodel" else "BSD-3-Clause")
    assert bool(entry.metrics) == bool(entry.metrics_source)
    assert hash(entry) == hash(dataclasses.replace(entry))


def test_names_are_unique_and_every_expected_row_is_there():
    names = [entry.name for entry in ROWS]
    assert len(set(names)) == len(names)
    assert set(names) == {
        "res3d18/sports1m", "res3d18/ucf101", "res3d18/ucf101-scratch", "res3d18/kinetics400", "c3d/sports1m",
        "r3d_18/kinetics400", "mc3_18/kinetics400", "r2plus1d_18/kinetics400",
    }  # fmt: skip


def test_digests_agree_with_the_file_names():
    for entry in ROWS:
        if entry.format == "pth":
            assert len(entry.sha256) == 64 and entry.filename.endswith(f"-{entry.sha256[:8]}.pth")


def test_sizes_are_those_of_the_parameters():
    # res3d18 with 487 classes: 33,420,327 parameters and 9,728 statistics of four bytes each.
    assert catalog.find("res3d18", "sports1m").estimated_bytes == 4 * (33_420_327 + 9_728)
    assert catalog.find("c3d", "sports1m").estimated_bytes == 4 * 79_991_015
    assert catalog.find("r3d_18", "kinetics400").estimated_bytes == 4 * (33_371_472 + 9_600)


def test_c3d_file_name_gets_the_suffix_of_its_format():
    assert catalog.find("c3d", "sports1m").filename == "conv3d_deepnetA_sport1m_iter_1900000.caffemodel"


def test_r3d_18_serves_res3d18_from_the_same_file():
    assert catalog.find("res3d18", "kinetics400").filename == catalog.find("r3d_18", "kinetics400").filename


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match="for res3d18; there are 'sports1m', 'ucf101', 'ucf101-scratch', 'kin"):
        catalog.find("res3d18", "imagenet")
    with pytest.raises(ValueError, match=r"for sr18 .*res3d18/sports1m"):
        catalog.find("sr18", "sports1m")
    with pytest.raises(ValueError, match="expected one of res3d18/sports1m"):
        catalog.find_name("sports1m")
    assert catalog.find_name("c3d/sports1m").net == "c3d"


def test_the_row_without_an_address_has_a_name():
    entry = catalog.find("res3d18", "ucf101-scratch")
    assert entry.url == "" and entry.source == entry.filename == "c3d_resnet18_ucf101_r2_iter_90000.caffemodel"
    assert (entry.frames, entry.stride, entry.classes) == (8, 2, 101)
    for wrong in ({"published_as": ""}, {"url": "https://example.org/a.caffemodel"}):
        with pytest.raises(ValueError, match="either an address"):
            dataclasses.replace(entry, **wrong)


def test_unknown_format_is_refused():
    with pytest.raises(ValueError, match="format is 'onnx'"):
        dataclasses.replace(ROWS[0], format="onnx")


def test_resolve_tells_names_from_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert catalog.resolve("res3d18", None) is None
    assert catalog.resolve("res3d18", pathlib.Path("sports1m")) is None
    for suffix in SUFFIXES:
        assert catalog.resolve("res3d18", f"folder/mine{suffix}") is None
    assert catalog.resolve("res3d18", "sports1m").name == "res3d18/sports1m"
    assert catalog.resolve("Res3D18", "sports1m").name == "res3d18/sports1m"
    assert catalog.resolve(dataclasses.replace(ZOO["res3d18"], name="mine"), "res3d18/ucf101").name == "res3d18/ucf101"
    assert catalog.resolve("res3d18", "r3d_18/kinetics400").name == "res3d18/kinetics400"
    with pytest.raises(ValueError, match=r"'sport1m', and no file has that name.*'sports1m'.*A path ends in"):
        catalog.resolve("res3d18", "sport1m")
    (tmp_path / "sport1m").write_bytes(b"x")
    assert catalog.resolve("res3d18", "sport1m") is None
    with pytest.raises(TypeError, match="weights is 3"):
        catalog.resolve("res3d18", 3)


@pytest.mark.parametrize("split", [2, 3, "2", "split 3", "testlist02.txt", None])
def test_other_splits_than_the_trained_one_are_refused(split):
    with pytest.raises(ContaminatedError, match=r"sports1m, ucf101 split 1, and ucf101 split .*allow=True"):
        check_evaluation(catalog.find("res3d18", "ucf101"), "UCF-101", split)


@pytest.mark.parametrize(
    ("weights", "data_set", "split"),
    [
        (catalog.find("res3d18", "ucf101"), "ucf101", 1),
        (catalog.find("res3d18", "ucf101"), "ucf101", "testlist01"),
        (catalog.find("res3d18", "ucf101"), "hmdb51", 2),
        (catalog.find("res3d18", "sports1m"), "ucf101", 3),
        ("ucf101 split 2", "ucf101", 2),
        ({"trained_on": "HMDB51 split 3"}, "hmdb51", "03"),
        ("sports1m, ucf101 train split 2 (/lists/ucf101)", "ucf101", 2),
        (None, "ucf101", 2),
        ("", "ucf101", None),
        ("motion split 1", "motion", 2),
    ],
)
def test_clean_evaluations_pass(weights, data_set, split):
    check_evaluation(weights, data_set, split)


def test_what_a_run_on_a_layout_is_called_tells_its_split():
    with pytest.raises(ContaminatedError):
        check_evaluation("ucf101 train split 2 (lists/split 1)", "ucf101", 1)


def test_guard_reads_cards_and_json_and_can_be_overridden():
    class Card:
        trained_on = "hmdb51 split 1"

    for weights in (Card(), {"trained_on": "hmdb51 split 1"}, "HMDB-51, split 1", "hmdb51"):
        with pytest.raises(ContaminatedError):
            check_evaluation(weights, "hmdb51", 2)
        check_evaluation(weights, "hmdb51", 2, allow=True)


def test_contaminated_for_agrees_with_the_guard():
    for entry in ROWS:
        for pair in entry.contaminated_for:
            data_set, _, split = pair.partition(" ")
            with pytest.raises(ContaminatedError):
                check_evaluation(entry, data_set, split)

"""Architecture values, their walk and the zoo's rows."""

import inspect
import json
from dataclasses import replace

import pytest

from keras_res3d.nets import build as builders
from keras_res3d.nets import recognise
from keras_res3d.nets.architecture import Architecture, convolutions, layer_shapes, walk
from keras_res3d.nets.zoo import ALIASES, PUBLISHED, ZOO, get_architecture, mixed_conv3d, two_d_counterpart
from keras_res3d.reports.zoo import net_table, zoo_table


def test_rows_are_valid_and_published_figures_complete():
    assert set(PUBLISHED) == set(ZOO)
    assert all(row.name == name for name, row in ZOO.items())


@pytest.mark.parametrize("net", ZOO)
def test_names_are_unique_and_inputs_precede(net):
    seen = {"input"}
    for layer in walk(ZOO[net]):
        assert layer.name not in seen
        assert seen.issuperset(layer.inputs)
        seen.add(layer.name)


def test_walk_of_the_released_net():
    layers = {layer.name: layer for layer in walk(ZOO["res3d18"], 487)}
    assert layers["conv1"].kernel == (3, 7, 7) and layers["conv1"].strides == (1, 2, 2)
    assert layers["bn_conv1"].inputs == ("conv1",) and layers["bn2a_branch2a"].inputs == ("res2a_branch2a",)
    assert layers["res2a_branch1"].kernel == (1, 1, 1)
    assert layers["res5b_sum"].inputs == ("res5a", "bn5b_branch2b")
    assert layers["res5b"].op == "relu"
    assert layers["fc8"].channels_out == 487
    assert "res2a_branch1" not in {layer.name for layer in walk(ZOO["r3d_18"])}
    assert len(convolutions(ZOO["res3d34"])) == 1 + 2 * 16 + 4


def test_shapes_of_released_net_and_c3d():
    shapes = layer_shapes(walk(ZOO["res3d18"]), (8, 112, 112, 3))
    assert shapes["res5b"] == (1, 7, 7, 512) and shapes["pool5"] == (512,)
    shapes = layer_shapes(walk(ZOO["c3d"]), (16, 112, 112, 3))
    assert shapes["pool5"] == (1, 4, 4, 512) and shapes["flatten"] == (8192,)


def test_smallest_input_is_the_product_of_the_strides():
    assert ZOO["sr18"].smallest_input == (4, 16, 16)
    assert ZOO["res3d18"].smallest_input == (8, 16, 16)
    assert ZOO["c3d"].smallest_input == (16, 32, 32)


@pytest.mark.parametrize("net", ZOO)
def test_architectures_survive_json(net):
    assert Architecture(**json.loads(json.dumps(ZOO[net].to_dict()))) == ZOO[net]


def test_names_aliases_and_near_misses():
    assert get_architecture("D18") is ZOO["sr18"] and ALIASES["d18"] == "sr18"
    with pytest.raises(ValueError, match="did you mean res3d18"):
        get_architecture("resd18")
    with pytest.raises(TypeError, match="an Architecture"):
        get_architecture(18)


def test_mixed_and_2d_variants():
    assert mixed_conv3d(3) is ZOO["mc3"]
    assert mixed_conv3d(3, width=8).temporal_kernels == (3, 3, 1, 1, 1)
    with pytest.raises(ValueError, match="1 to 5"):
        mixed_conv3d(6)
    assert two_d_counterpart("sr18").temporal_kernels == ZOO["mc1"].temporal_kernels


@pytest.mark.parametrize(
    "change, match",
    [
        ({"width": 0}, "integers from 1"),
        ({"channels": 0}, "integers from 1"),
        ({"channels": 2.0}, "integers from 1"),
        ({"temporal_kernels": (3, 3, 3, 3, 2)}, "odd"),
        ({"blocks": (2, 2, 2)}, "4 values"),
        ({"factorized": "3d"}, "factorized"),
        ({"shortcut": "none"}, "shortcut"),
        ({"strides": ((1, 2, 2),)}, "5 values"),
        ({"pools": ((1, 2, 2),)}, "one per group"),
    ],
)
def test_faulty_values_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        replace(ZOO["sr18"], **change)


def test_no_code_knows_a_net_by_name():
    for module in (builders, recognise, inspect.getmodule(walk)):
        source = inspect.getsource(module)
        for name in [*ZOO, *ALIASES]:
            assert f'"{name}"' not in source or name == "2.5d", (module.__name__, name)


def test_tables_mark_what_differs():
    rows = {row[0]: row for row in zoo_table()[1]}
    assert rows["c3d"][7].startswith("72.9*") and rows["c3d"][8] == "38.5"
    assert rows["sr18_56"][8] == "2.6*" and rows["d34"][8] == "10.0*"
    assert rows["r3d_18"][8] == "40.697"
    header, rows = net_table("mc3", 101)
    assert rows[-1][2] == "32,775,617" and rows[0][1] == "4x56x56x108" and len(header) == len(rows[0])

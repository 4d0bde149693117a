"""Narrow nets, their weights by formula and their files: what the weights tests share."""

import dataclasses

from keras_res3d.nets.build import build_graph
from keras_res3d.nets.zoo import ZOO
from tests.weights import formula
from tests.weights.writers import write_caffemodel, write_pth

RES3D = dataclasses.replace(ZOO["res3d18"], name="narrow", width=4, blocks=(1, 1, 1, 1), crop=32, classes=5)
FACTORIZED = dataclasses.replace(RES3D, name="split", factorized="2.5d")
C3D = dataclasses.replace(ZOO["c3d"], name="narrow_c3d", width=4, dense=(12, 10), crop=112, classes=5)
R3D = dataclasses.replace(RES3D, name="narrow_r3d", shortcut="identity", batch_norm_momentum=0.9)


def caffemodel(path, architecture, **options):
    """A .caffemodel of `architecture` by formula; returns its path."""
    options.setdefault("variant", "c3d" if architecture.dense else "layer")
    return write_caffemodel(path, formula.caffe_layers(architecture), **options)


def torch_tensors(architecture):
    """The state dict that torchvision would have for `architecture`, by formula."""
    tensors = {}
    for group, multiplier in enumerate((1, *architecture.multipliers)):
        m = architecture.width * multiplier
        n = architecture.width * architecture.multipliers[max(group - 2, 0)]
        if group == 0:
            convs = {"stem.0": ("stem.1", (m, 3, 3, 7, 7))}
        elif group == 1:
            continue
        else:
            block = f"layer{group - 1}.0"
            convs = {
                f"{block}.conv1.0": (f"{block}.conv1.1", (m, n, 3, 3, 3)),
                f"{block}.conv2.0": (f"{block}.conv2.1", (m, m, 3, 3, 3)),
            }
            if group > 2:
                convs[f"{block}.downsample.0"] = (f"{block}.downsample.1", (m, n, 1, 1, 1))
        for conv, (norm, shape) in convs.items():
            tensors[f"{conv}.weight"] = formula.tensor(f"{conv}.weight", shape)
            for part in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{norm}.{part}"] = formula.tensor(f"{norm}.{part}", shape[:1])
            tensors[f"{norm}.num_batches_tracked"] = formula.tensor(f"{norm}.num_batches_tracked", ())
    features = architecture.width * architecture.multipliers[-1]
    tensors["fc.weight"] = formula.tensor("fc.weight", (architecture.classes, features))
    tensors["fc.bias"] = formula.tensor("fc.bias", (architecture.classes,))
    return tensors


def pth(path, architecture=R3D):
    return write_pth(path, torch_tensors(architecture))


def build(architecture, **options):
    return build_graph(architecture, classifier_activation=None, **options)

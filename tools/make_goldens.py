"""Writes tests/weights/goldens.json: outputs of torchvision's video nets with weights from a fixed formula.

Needs torch and torchvision, which neither the package nor its tests do:

    python tools/make_goldens.py

The tests rebuild the same weights with NumPy (tests/weights/formula.py), convert them, and must give these numbers.
"""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "tests" / "weights"
sys.path.insert(0, str(FOLDER))

import formula  # noqa: E402

NETS = ("r3d_18", "mc3_18", "r2plus1d_18")
CLIP = (16, 32, 32, 3)  # the smallest sides that leave a 1 x 1 map in no group
STAGES = ("stem", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc")
SAMPLES = 16


def golden(name):
    """Tensor names and shapes of a net, and a few values of every stage's output with their places in it."""
    import torch
    import torchvision

    net = getattr(torchvision.models.video, name)(weights=None).eval()
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    net.load_state_dict({key: torch.from_numpy(formula.tensor(key, tuple(shape))) for key, shape in shapes.items()})
    outputs = {}
    for stage in STAGES:
        keep = lambda module, inputs, output, stage=stage: outputs.update({stage: output.numpy().ravel()})  # noqa: E731
        getattr(net, stage).register_forward_hook(keep)
    with torch.no_grad():
        net(torch.from_numpy(formula.uniform("clip", CLIP).transpose(3, 0, 1, 2)[None].copy()))
    samples = {}
    for stage, values in outputs.items():
        places = np.linspace(0, values.size - 1, SAMPLES).astype(int)
        rounded = [float(f"{value:.8g}") for value in values[places]]
        samples[stage] = {"largest": float(np.abs(values).max()), "places": places.tolist(), "values": rounded}
    return {"tensors": shapes, "outputs": samples}


def main():
    import torch
    import torchvision

    versions = {"torch": torch.__version__.split("+")[0], "torchvision": torchvision.__version__.split("+")[0]}
    goldens = {"made_with": versions, "clip": list(CLIP), "nets": {name: golden(name) for name in NETS}}
    path = FOLDER / "goldens.json"
    path.write_text(json.dumps(goldens, separators=(",", ":")) + "\n")
    print(f"wrote {path} ({path.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()

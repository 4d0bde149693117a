"""What a study's folder says of itself, as short as it can be."""

from keras_res3d.nets.zoo import ZOO

DATA = {"name": "motion", "videos": 3, "classes": ["a", "b"], "digest": "0"}
CANDIDATE = {
    "name": "flat", "width": 4, "params": 1, "live_params": 1, "macs": 1, "live_macs": 1, "off": 0.0, "printed": {},
    "sampling": {"frames": 8, "stride": 2, "crop": [112, 112]}, "architecture": ZOO["sr18"].to_dict(),
}  # fmt: skip
HEADER = {"study": "own", "question": "", "source": "", "base": "sr18", "budget": None, "data": DATA,
          "validation": DATA, "clips": 3, "options": {}, "candidates": [CANDIDATE]}  # fmt: skip

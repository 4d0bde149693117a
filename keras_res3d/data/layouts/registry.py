"""The layouts by name: what `--layout` and `read_layout` take. A new one is a module beside this one, and a line here.

`open` reads a bare path as one of the first two.
"""

from __future__ import annotations

from keras_res3d.data.layouts import caffe, class_folders, csv_list, hmdb51, kinetics, sports1m, ucf101
from keras_res3d.data.layouts.reading import Layout

LAYOUTS: dict[str, Layout] = {
    "folders": class_folders.LAYOUT,
    "csv": csv_list.LAYOUT,
    "ucf101": ucf101.LAYOUT,
    "hmdb51": hmdb51.LAYOUT,
    "kinetics": kinetics.LAYOUT,
    "sports1m": sports1m.LAYOUT,
    "caffe": caffe.LAYOUT,
}

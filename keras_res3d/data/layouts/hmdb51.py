"""HMDB51's lists: CLASS_test_split1.txt for each class, every clip of the class tagged as training, test or unused."""

from __future__ import annotations

import re

from keras_res3d.data.labels import label_names
from keras_res3d.data.layouts.reading import Layout, Reading
from keras_res3d.data.listing import Row

TAGS = {"unused": "0", "train": "1", "test": "2"}
# Body part, camera motion, number of people, viewpoint, quality, number of the clip: what follows the class in a name.
FIELDS = r"_[fuhl]_[cn]m_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+\.\w+$"


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    rows, ending = [], f"_test_split{reading.split}.txt"
    lists = sorted(reading.lists.glob(f"*{ending}"))
    if not lists:
        reading.faults.append(f"no list CLASS{ending} in {reading.lists}; expected one for each class")
    classes = tuple(path.name.removesuffix(ending) for path in lists)
    for path, label in zip(lists, classes, strict=True):
        for where, text in reading.lines(path):
            name, _, tag = text.rpartition(" ")
            if tag not in TAGS.values() or not name.strip():
                reading.faults.append(f"{where}malformed: {text!r}; expected 'NAME.avi 0', 1 (train) or 2 (test)")
            elif tag == TAGS[reading.subset]:
                file = reading.root / label / name.strip()
                reading.need(where, file)
                source = re.sub(f"_{re.escape(label)}{FIELDS}", "", name.strip())
                # The splits keep a source video's clips of one class together, not those of all classes.
                rows.append(Row(where, file, label, f"{label}/{source}"))
    published = label_names("hmdb51")
    return rows, published if set(published) == set(classes) else tuple(sorted(classes))


LAYOUT = Layout(_read, subsets=("train", "test", "unused"), splits=True)

"""Sports-1M's lists: train_partition.txt and test_partition.txt, an address and its labels' numbers a line."""

from __future__ import annotations

import re

from keras_res3d.data.labels import label_names
from keras_res3d.data.layouts.reading import Layout, Reading, files_by_stem
from keras_res3d.data.listing import Row


def _read(reading: Reading) -> tuple[list[Row], tuple[str, ...]]:
    path, labels = reading.first_that_exists([f"{reading.subset}_partition.txt"]), reading.lists / "labels.txt"
    classes = reading.names(labels) if labels.is_file() else label_names("sports1m")
    files, rows, several = files_by_stem(reading.root), [], 0
    for where, text in reading.lines(path):
        address, _, numbers = text.rpartition(" ")
        name = re.search(r"(?:[?&]v=|/)([\w-]+)(?:&.*)?$", address.strip())
        if not name or not re.fullmatch(r"\d{1,9}(,\d{1,9})*", numbers):
            reading.faults.append(f"{where}malformed: {text!r}; expected 'ADDRESS LABEL[,LABEL...]'")
            continue
        numbers = [int(number) for number in numbers.split(",")]
        if max(numbers) >= len(classes):
            reading.faults.append(f"{where}label {max(numbers)}; expected 0 to {len(classes) - 1}")
            continue
        several += len(numbers) > 1
        found = files.get(name[1])
        if reading.check_files and not found:
            what = f"missing file {name[1]}.mp4, in {reading.root} or its folders"
            reading.lack(where, reading.root / f"{name[1]}.mp4", what)
        row = Row(where, (found or [reading.root / f"{name[1]}.mp4"])[0], classes[numbers[0]])
        if reading.multi_label:
            row = row.with_labels(classes[number] for number in dict.fromkeys(numbers))
        rows.append(row)
    if several and not reading.multi_label:
        reading.notes.append(f"{several} videos have several labels; the first counts")
    return rows, classes


LAYOUT = Layout(_read, multi_label=True)

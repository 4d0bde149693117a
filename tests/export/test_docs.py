"""The Python examples of docs/export.md run, in order, as they stand."""

import importlib.util
import pathlib
import re

import pytest

DOC = pathlib.Path(__file__).parents[2] / "docs" / "export.md"


def test_examples_run(model, card, clips, tmp_path, monkeypatch, capsys):
    if not DOC.exists():
        pytest.skip("no docs beside the tests")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", DOC.read_text(encoding="utf-8"), re.M | re.S)
    assert len(examples) == 7
    names = {"model": model, "card": card, "clips": clips}
    for example in examples:
        if "keras-res3d[openvino]" in example and not importlib.util.find_spec("openvino"):
            continue
        # Each block starts from the same three names, so that an import it forgets is found out.
        scope = {**names, "export_model": __import__("keras_res3d.export.export", fromlist=["_"]).export_model}
        exec(compile(example, str(DOC), "exec"), scope)
    assert "same top-1" in capsys.readouterr().out

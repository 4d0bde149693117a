"""The tour on a tenth of its data: every stage runs, every file is there, every number has a source."""

import json
from dataclasses import replace

from keras_res3d import quickstart
from keras_res3d.cards import read_card
from keras_res3d.inference.classifier import load_classifier
from keras_res3d.nets.counts import count_params
from keras_res3d.tasks.compare import same_budget_2d

from .training.test_fit import Few


def test_both_nets_have_the_same_number_of_parameters():
    three, two = count_params(quickstart.NET), count_params(same_budget_2d(quickstart.NET))
    assert set(same_budget_2d(quickstart.NET).temporal_kernels) == {1}
    # Neighbouring widths of the 2D net are 9 % apart.
    assert abs(three - two) / three < 0.05


def test_the_tour(tmp_path):
    options = replace(quickstart.OPTIONS, epochs=1)
    tour = quickstart.run(tmp_path, options, Few("train", 64), Few("test", 32), lambda line: None)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["nets"]) == {"3D", "2D"} and results["nets"]["3D"]["videos"] == 32
    assert results["nets"]["3D"]["parameters"] == count_params(quickstart.NET)
    # A net of one epoch gives all classes nearly the same score. int8 may then be refused, and the report says why.
    assert set(results["exports"]) | set(results["refused"]) == set(quickstart.EXPORTS)
    assert {"SavedModel", "LiteRT float32"} <= set(results["exports"])
    assert tour.exports["SavedModel"].largest_difference < 1e-4
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/webp") == 8 and page.count('<table class="cells">') == 2
    assert page.count("<figcaption>") == 10
    assert "<script" not in page and "src=\"http" not in page
    assert read_card(tmp_path / "3D" / "model.keras").labels == load_classifier(tmp_path / "3D").card.labels

"""The report of a study of which parts are gone."""

from __future__ import annotations

from keras_res3d.io import write_atomically
from keras_res3d.reports.studies import write_study_report
from keras_res3d.tables import as_json
from tests.made_studies import HEADER


def made_up(folder, logs):
    """A study of one candidate, with a scored run for each log; None leaves the log out."""
    write_atomically(folder / "study.json", as_json(HEADER))
    scores = {"video@1": 0.5, "clip@1": 0.5, "seconds": 1.0}
    for seed, log in enumerate(logs):
        write_atomically(folder / "flat" / f"seed{seed}" / "scores.json", as_json(scores))
        if log is not None:
            write_atomically(folder / "flat" / f"seed{seed}" / "log.csv", log)
    return folder


def test_runs_whose_logs_are_gone_have_no_curves(tmp_path):
    log = "epoch,loss,clip@1\n1,2.0,0.1\n2,1.0,0.7\n"
    for name, logs, drawn in (("whole", [log, log], True), ("none", [None, None], False), ("one", [log, None], False),
                              ("first", [None, log], False), ("empty", ["", log], False)):  # fmt: skip
        text = write_study_report(made_up(tmp_path / name, logs)).read_text()
        assert ("The log has no value to draw." in text) != drawn, name

"""Every example of README.md and docs/*.md runs as it stands, in order, in a folder with a small data set.

Blocks of Python share one namespace per page; of shell blocks the lines that begin with `keras-res3d` are run. An HTML
comment on the line before a block says what else is to be done with it: `<!-- needs a download -->` and
`<!-- not run: REASON -->` leave it out, and `test_extending.py` has more. A page about a net that the reader has
(`model`, `card`, `clips`) starts with one: see GIVEN.
"""

import dataclasses
import glob
import importlib.util
import pathlib
import re
import shlex
import shutil

import pytest

from keras_res3d.commands.main import main
from keras_res3d.data.open import read_data_set
from keras_res3d.data.sources import motion
from keras_res3d.export import report
from keras_res3d.export.formats import FORMATS
from keras_res3d.nets.counts import count_macs, count_params, solve_width
from keras_res3d.nets.zoo import ZOO
from keras_res3d.training.recipes import RECIPES
from keras_res3d.weights import catalog, store
from tests.docs.markdown import ROOT, SHELLS, blocks, commands, pages
from tests.docs.world import (
    narrow,
    runs_needed,
    write_made_features,
    write_mirror,
    write_more_splits,
    write_run,
    write_videos,
)

LEFT_OUT = re.compile(r"needs a download|not run: .|file: |line: |with the file")
# Lines that set up an environment download what they install.
SETTING_UP = re.compile(r"(python3? -m venv|pip install|\.venv[\w-]*/bin/|git clone|cd )")
PAGES = [page for page in pages() if any(block.language in ("python", *SHELLS) for block in blocks(page))]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the data sets, a run and a mirror of made-up weights; pages get copies."""
    folder = tmp_path_factory.mktemp("docs")
    write_videos(folder)
    with pytest.MonkeyPatch.context() as patch:
        narrow(patch)
        write_run(folder)
        write_mirror(folder / ".mirror")
    return folder


@pytest.fixture
def here(world, tmp_path, monkeypatch):
    """The current folder of a page."""
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    narrow(monkeypatch)
    # The embedded data set is drawn small.
    monkeypatch.setattr(motion, "SPLIT_SIZES", {"train": 96, "test": 48})
    draw = motion.motion_videos
    monkeypatch.setattr(motion, "motion_videos", lambda split, count, *a, **how: draw(split, min(count, 96), *a, **how))
    motion._drawn.cache_clear()
    # Rows that a page adds go with it.
    known = [(registry, set(registry)) for registry in (ZOO, RECIPES)]
    # The nets are hardly trained, and a hardly trained net changes its best class at the smallest rounding.
    monkeypatch.setattr(report, "allowed_misses", lambda clips, min_agreement: clips)
    monkeypatch.setattr(catalog, "ROWS", tuple(dataclasses.replace(row, sha256=None) for row in catalog.ROWS))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv(store.MIRROR_VARIABLE, str(tmp_path / ".mirror"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    motion._drawn.cache_clear()
    for registry, names in known:
        for name in set(registry) - names:
            del registry[name]


def export_names():
    """A page on exports is about a net that the reader has: a trained model, its card, and clips for it."""
    import keras

    from keras_res3d.cards import read_card
    from keras_res3d.export.samples import embedded_clips

    card = read_card("run/model.keras")
    model = keras.saving.load_model("run/model.keras", compile=False)
    return {"model": model, "card": card, "clips": embedded_clips(card.sampling, 16, "test")}


def trimmed_names():
    """The page on trimmed nets is about a net in both forms, and a file of the whole one."""
    from keras_res3d import build_model

    whole = build_model("res3d18")
    whole.save_weights("whole.weights.h5")
    return {"whole": whole, "trimmed": build_model("res3d18", trim=True)}


def weights_names():
    """The page on weights is about files that the reader has."""
    from keras_res3d import build_model, save_model

    caffemodel = next(pathlib.Path(".mirror").glob("c3d_resnet18_sports1m*"))
    shutil.copy(caffemodel, "my_net.caffemodel")
    pathlib.Path("runs/mine").mkdir(parents=True)
    save_model(build_model("res3d18"), "runs/mine/model.keras")
    save_model(build_model("sr18", classes=101), "sr18.keras")
    return {}


def transfer_names():
    """The page on transfer is about folders of features that the reader has."""
    write_made_features(pathlib.Path())
    return {}


def evaluation_names():
    """The page on evaluation is about a data set of three splits."""
    write_more_splits(pathlib.Path())
    return {}


def tutorial_names():
    """The tutorial begins without videos."""
    shutil.rmtree("videos")
    return {}


GIVEN = {"docs/evaluation.md": evaluation_names, "docs/export.md": export_names, "docs/transfer.md": transfer_names,
         "docs/trimmed.md": trimmed_names, "docs/tutorial.md": tutorial_names,
         "docs/weights.md": weights_names}  # fmt: skip


def run_command(line):
    """A line of a shell block through the command line itself, in this process."""
    words = [word for part in shlex.split(line, comments=True) for word in (glob.glob(part) if "*" in part else [part])]
    for sign in (">", "|"):
        words = words[: words.index(sign)] if sign in words else words
    assert words[0] == "keras-res3d", f"{line!r} is no command of this package; mark the block as not run"
    assert main(words[1:]) == 0, line


def missing_package(text):
    """The optional package that a block says it needs (`# needs: keras-res3d[openvino]`), where it is not there."""
    needed = re.findall(r"needs: keras-res3d\[(\w+)\]", text)
    return next((name for name in needed if not importlib.util.find_spec(name)), None)


@pytest.mark.parametrize("page", PAGES)
def test_examples_run_as_they_stand(page, here, capsys):
    found = [block for block in blocks(page) if not LEFT_OUT.match(block.mark)]
    found = [block for block in found if not missing_package(block.text)]
    for run in runs_needed(found, SHELLS):
        (here / run).parent.mkdir(exist_ok=True)
        shutil.copytree(here / "run", here / run)
    names = {"__name__": "__main__", **GIVEN.get(page, dict)()}
    for block in found:
        where = f"{page} line {block.line}"
        if block.language == "python":
            exec(compile("\n" * block.line + block.text, page, "exec"), names)
        elif block.language in SHELLS:
            for line in commands(block.text):
                if not SETTING_UP.match(line):
                    run_command(line)
        else:
            assert block.language in ("diff", "json", "text", "csv"), f"{where}: {block.language}"


EXPORTS = [("saved_model", "none"), ("litert", "int8"), ("onnx", "none"), ("openvino", "none")]
MORE_EXPORTS = [("litert", "none"), ("onnx", "int8"), ("openvino", "int8")]
NEEDS = {"onnx": ("onnx", "tf2onnx", "onnxruntime", "nncf"), "openvino": ("openvino", "nncf")}


@pytest.mark.slow
@pytest.mark.parametrize("exports", [EXPORTS, pytest.param(MORE_EXPORTS, marks=pytest.mark.slow)])
def test_readmes_own_model_goes_to_every_format(exports, here, capsys):
    """The transfer-learning model of README's first lines: trained, evaluated, exported and asked about a video."""
    first = next(block for block in blocks("README.md") if block.language == "python")
    exec(compile(first.text, "README.md", "exec"), {"__name__": "__main__"})
    video = str(read_data_set("test.csv").examples[0].path)
    assert main(["evaluate", "mine.keras", "--data", "test.csv"]) == 0
    for format, quantize in exports:
        if not all(map(importlib.util.find_spec, NEEDS.get(format, ()))):
            continue
        output = f"{format}_{quantize}{FORMATS[format].suffix}"
        calibration = ["--calibration", "train.csv"] if quantize == "int8" else []
        flags = ["--format", format, "--quantize", quantize, "--output", output, *calibration]
        assert main(["export", "mine.keras", *flags]) == 0, flags
        assert main(["predict", output, video]) == 0
        assert "2d" in capsys.readouterr().out or format in ("saved_model", "openvino")


def test_every_mark_is_known():
    for page in pages():
        for block in blocks(page):
            assert not block.mark or LEFT_OUT.match(block.mark), f"{page} line {block.line}: {block.mark}"


COUNTS = {"count_params": count_params, "count_macs": count_macs, "solve_width": solve_width}
COUNTED = re.compile(r"^(?:\w+\.)?((?:count_params|count_macs|solve_width)\([^#\n]*\))\s+# ([\d,]+)", re.M)


def test_numbers_in_comments_are_what_the_line_gives():
    found = [
        (block.page, expression, int(number.replace(",", "")))
        for page in pages()
        for block in blocks(page)
        if block.language == "python"
        for expression, number in COUNTED.findall(block.text)
    ]
    assert found or not pages()
    for page, expression, number in found:
        assert eval(expression, dict(COUNTS)) == number, f"{page}: {expression}"


def test_links_between_pages_lead_somewhere():
    for page in pages():
        text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", text):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


NAMED = re.compile(r"\b(?:keras_res3d|tools|tests|docs)/[\w/]+(?:\.\w+|/)")


def test_paths_that_pages_name_exist():
    """Those that an example of docs/extending.md makes, and their tests, are the only ones that need not."""
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        made = set(re.findall(r"<!-- file: (\S+) -->", text))
        for path in made.copy():
            folder, _, name = path.removeprefix("keras_res3d/").rpartition("/")
            made.add(f"tests/{folder}/test_{name}")
        for named in set(NAMED.findall(text)) - made:
            assert (ROOT / named).exists(), f"{page}: {named}"

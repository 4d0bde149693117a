"""Builds sdist and wheel of the last commit, installs the wheel, and runs every command outside the checkout.

    python tools/check_wheel.py --python python3.12
    python tools/check_wheel.py --python python3.11 --extras tfio
    python tools/check_wheel.py --environment /tmp/python3.13      # an environment that is there already, and stays

The wheel is built from the sdist, and that from a clean clone, so that what either lacks is noticed. Every verb of
keras-res3d then does its work on videos made on the spot, in an empty folder. The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Written by the environment's Python, since it is the wheel that has PyAV.
MAKE_VIDEOS = """
import json, pathlib
import av, numpy as np
rng, rows, moments = np.random.default_rng(0), [], {}
for label, level in {"dark": 40, "light": 210}.items():
    for number in range(4):
        path = pathlib.Path("videos", label, f"{number}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as file:
            stream = file.add_stream("h264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(40):
                frame = np.clip(rng.normal(level, 12, (48, 64, 3)), 0, 255).astype(np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            file.mux(stream.encode(None))
        rows.append(f"{path},{label}")
        moments[f"{label}{number}"] = {"subset": "testing", "duration": 1.6,
                                       "annotations": [{"segment": [0.2, 1.2], "label": label}]}
pathlib.Path("train.csv").write_text("\\n".join(["path,label", *rows[:3], *rows[4:7], ""]))
pathlib.Path("test.csv").write_text("\\n".join(["path,label", rows[3], rows[7], ""]))
pathlib.Path("moments.json").write_text(json.dumps({"database": moments}))
pathlib.Path("found.csv").write_text("video,begin,end,label,score\\ndark0,0.3,1.2,dark,0.9\\n")
names = [row.split(",")[0].removeprefix("videos/").removesuffix(".mp4") for row in rows]
pairs = [(a, b) for a in names for b in names if a < b][:20]
pathlib.Path("pairs.txt").write_text("".join(f"{a} {b} {int(a[0] == b[0])}\\n" for a, b in pairs))
"""

VERSIONS = """
import platform, keras, tensorflow
print(f"Python {platform.python_version()}, TensorFlow {tensorflow.__version__}, Keras {keras.__version__}")
"""

SMALL = "--width 4 --frames 4 --crop 32 --iterations 4 --batch_size 4"
# What each verb does, in an order in which each finds what it needs.
COMMANDS = (
    "--version",
    "models",
    "weights",
    "check --data videos --decode",
    "split --data videos --output folds --folds 2",
    "pack --data videos --output shards",
    f"train --data train.csv --validation test.csv --net sr18 --output run {SMALL}",
    f"train --data shards --net sr18 --output from_shards {SMALL}",
    "evaluate run --data test.csv --clips 2 --output scores",
    "predict run videos/dark/0.mp4 videos/light/0.mp4 --timeline timeline",
    "extract run --data videos --layers pool5,prob --output features",
    "report run --data test.csv --clips 1",
    "export run --format saved_model --output run/serving --min_agreement 0",
    "export run --format litert --quantize int8 --calibration train.csv --output run/int8.tflite --min_agreement 0",
    "predict run/int8.tflite videos/dark/0.mp4 --json",
    "search --study dimension --data motion --target_params 1e4 --seeds 1 --iterations 2 --crop 32 --stride 1 "
    "--batch_size 4 --output study",
    "transfer svm features --train_list train.csv --test_list test.csv --C 1",
    "similarity features --pairs pairs.txt --folds 2 --C 1",
    "search-videos features videos/dark/1.mp4 --output like.html",
    "figures architecture res3d18 --output figures",
    "figures filters run --output figures",
    "detect window_weights --annotations moments.json --output weights.json",
    "detect evaluate --detections found.csv --annotations moments.json --protocol activitynet",
    "demo --help",
    "quickstart --output quickstart",
)


def _run(*words: object, folder: pathlib.Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, words)], cwd=folder, text=True, capture_output=True, **options)


def _must(*words: object, folder: pathlib.Path) -> str:
    """The output of a command that has to succeed, else its errors end this tool."""
    done = _run(*words, folder=folder)
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(python: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The wheel, from the sdist of a clean clone; it holds every file of the package that the repository has."""
    clone, built = folder / "clone", folder / "built"
    _must("git", "clone", "--quiet", ROOT, clone, folder=folder)
    _must(python, "-m", "pip", "install", "--quiet", "build", folder=folder)
    _must(python, "-m", "build", "--outdir", built, clone, folder=folder)
    (wheel,) = built.glob("*.whl")
    tracked = _must("git", "ls-files", "keras_res3d", folder=clone).splitlines()
    with zipfile.ZipFile(wheel) as archive:
        if lacks := set(tracked) - set(archive.namelist()):
            raise SystemExit(f"{wheel.name} lacks {', '.join(sorted(lacks))}")
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e3:.0f} kB" for path in sorted(built.iterdir()))
    print(f"{len(tracked)} files of the package in {sizes}", flush=True)
    return wheel


def environment(python: str, folder: pathlib.Path) -> pathlib.Path:
    """A new environment of that Python."""
    _must(python, "-m", "venv", folder, folder=pathlib.Path.cwd())
    return folder


def run_commands(binaries: pathlib.Path, folder: pathlib.Path) -> int:
    """Runs every command and prints a line for each; returns how many failed."""
    _must(binaries / "python", "-c", MAKE_VIDEOS, folder=folder)
    failed = 0
    for line in COMMANDS:
        began = time.monotonic()
        done = _run(binaries / "keras-res3d", *shlex.split(line), folder=folder)
        print(f"{done.returncode:>3} {time.monotonic() - began:6.1f} s  keras-res3d {line}", flush=True)
        if done.returncode:
            failed += 1
            print(done.stdout[-2000:] + done.stderr[-4000:])
    return failed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that the wheel is tried with")
    parser.add_argument("--environment", type=pathlib.Path, help="an environment to install into (a new one)")
    parser.add_argument("--extras", default="", help="extras to install with it, such as tfio")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        place = options.environment or environment(options.python, folder / "environment")
        binaries = place.resolve() / "bin"
        wheel = build(binaries / "python", folder)
        extras = f"[{options.extras}]" if options.extras else ""
        _must(binaries / "python", "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", wheel,
              folder=folder)  # fmt: skip
        _must(binaries / "python", "-m", "pip", "install", "--quiet", f"{wheel}{extras}", folder=folder)
        work = folder / "work"
        work.mkdir()
        print(_must(binaries / "python", "-c", VERSIONS, folder=work).strip(), flush=True)
        failed = run_commands(binaries, work)
    print(f"{len(COMMANDS)} commands, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())

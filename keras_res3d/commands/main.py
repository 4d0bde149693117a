"""keras-res3d trains, scores and exports 3D residual networks for video.

Usage: keras-res3d VERB [ARGUMENTS] [--flags]
       keras-res3d help VERB
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
import textwrap
import traceback
import types
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from absl import flags

from keras_res3d.commands.arguments import HELP, close_to, parse, suggestion
from keras_res3d.commands.common import require_tensorflow
from keras_res3d.data.crashes import watched
from keras_res3d.remote import as_path, is_remote, refuse
from keras_res3d.tables import printable

FLAGS = flags.FLAGS


@dataclass(frozen=True)
class Verb:
    """A verb; the module of the same name has its flags and does its work.

    Attributes:
        summary: what it does, in one line.
        needs_tensorflow: whether it works only where Keras runs on TensorFlow.
        reads_videos: whether it decodes in its own process, which a file that crashes the decoder takes down.
        stores: the flags that may be addresses in a store, such as s3://bucket/train.csv; "" stands for its words.
        addresses: those that may be addresses of something else, such as rtsp://camera/1.
    """

    summary: str
    needs_tensorflow: bool = False
    reads_videos: bool = False
    stores: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


_LISTS = ("data", "lists", "validation")
VERBS = {
    "quickstart": Verb("train, score, export and compare two small nets on embedded data; write a report", True),
    "models": Verb("list the nets with their inputs, parameters and GMACs beside the paper's figures"),
    "check": Verb("name every fault of a data set in one pass, before anything is trained"),
    "split": Verb("write lists of k folds for cross-validation, no group in two folds"),
    "pack": Verb(
        "turn videos into shards of JPEG frames, which are read several times as fast",
        stores=(*_LISTS, "output"),
        addresses=("ray_address",),
    ),
    "train": Verb("train a net on your videos", True, reads_videos=True, stores=(*_LISTS, "output", "weights")),
    "evaluate": Verb("score a trained net per clip and per video", reads_videos=True, stores=("", *_LISTS, "output")),
    "predict": Verb(
        "classify videos, and draw the scores over time", reads_videos=True, stores=("",), addresses=("", "camera")
    ),
    "extract": Verb(
        "compute features of videos, for an SVM, for search, or for anything else",
        reads_videos=True,
        stores=("", *_LISTS, "output"),
        addresses=("ray_address",),
    ),
    "report": Verb("write one HTML page on a run: curves, confusion, classes, clips, exports", reads_videos=True),
    "demo": Verb("try a model on a local web page, with videos or the camera", reads_videos=True),
    "export": Verb("write SavedModel, LiteRT, ONNX or OpenVINO, checked against Keras", True, stores=("", "output")),
    "search": Verb("compare designs at one budget on your videos, as the paper's search does", True, reads_videos=True),
    "transfer": Verb("measure features by a linear SVM, PCA and retrieval, or fine-tune on every split"),
    "similarity": Verb("tell pairs of videos of one action from others, by the ASLAN protocol"),
    "search-videos": Verb("find the videos most like a given one, on a page of animated thumbnails"),
    "figures": Verb("draw a net, its first filters, or where it looks in a video", reads_videos=True),
    "detect": Verb("find actions in long videos, train the networks for it, score detections", reads_videos=True),
    "weights": Verb("list, download and convert pretrained weights"),
}

# What a damaged file, a missing package, a full disk or too little memory raises. Anything else is a fault of this
# package and shows its traceback.
USER_ERRORS = (ValueError, OSError, ImportError, RuntimeError, EOFError, MemoryError, zipfile.BadZipFile)
OUR_FAULTS = (RecursionError, NotImplementedError, UnboundLocalError)


def _overview() -> str:
    verbs = "\n".join(f"  {name:<13} {verb.summary}" for name, verb in VERBS.items())
    return (
        f"{__doc__.rstrip()}\n\nVerbs:\n{verbs}\n\n"
        "keras-res3d --version prints the version. With KERAS_RES3D_TRACEBACK=1 in the environment an error shows\n"
        "where it came from."
    )


def module_name(verb: str) -> str:
    """The module of a verb; a dash of its name is an underscore there."""
    return f"keras_res3d.commands.{verb.replace('-', '_')}"


def usage(verb: str, module: types.ModuleType) -> str:
    """The verb's usage line: its positional words and its required flags."""
    return " ".join(["Usage: keras-res3d", verb, *module.USAGE.split(), "[--flags]"])


def verb_help(verb: str, module: types.ModuleType, names: Iterable[str]) -> str:
    """A verb's usage, its docstring and its own flags, with defaults."""
    lines = [usage(verb, module), "", module.__doc__.strip(), ""]
    if names:
        lines.append("Flags (dashes may stand for underscores):")
    for name in sorted(names):
        text = " ".join([FLAGS[name].help, *_remarks(FLAGS[name])])
        lines += [f"  --{name}", textwrap.indent(textwrap.fill(text, 92), " " * 8)]
    return "\n".join(lines)


def _remarks(flag: flags.Flag) -> list[str]:
    """What the help of a flag says beside its own text: its default, and how a boolean one is turned off."""
    default = [] if flag.default is None else [f"default: {flag.default_as_str.strip(chr(39))}"]
    off = [f"--no{flag.name} turns it off"] if flag.boolean and flag.default is not False else []
    return [f"({'; '.join([*default, *off])})"] if default or off else []


@contextlib.contextmanager
def flags_of(verb: str) -> Iterator[tuple[types.ModuleType, set[str]]]:
    """Yields the verb's module, and the names of its flags, which are defined inside the block alone."""
    module = importlib.import_module(module_name(verb))
    before = set(FLAGS)
    module.define_flags()
    names = set(FLAGS) - before
    try:
        yield module, names
    finally:
        FLAGS.unparse_flags()
        for name in names:
            delattr(FLAGS, name)


def _run_verb(verb: str, arguments: list[str]) -> int:
    """Defines the verb's flags for this call alone, parses them and runs the verb."""
    with flags_of(verb) as (module, names):
        if set(HELP) & set(arguments[: arguments.index("--")] if "--" in arguments else arguments):
            print(verb_help(verb, module, names))
            return 0
        words, faults = parse(verb, module.USAGE, arguments, names)
        if faults:
            for fault in faults:
                print(f"keras-res3d {verb}: {printable(fault)}", file=sys.stderr)
            print(f"{usage(verb, module)}\nkeras-res3d help {verb} shows the flags", file=sys.stderr)
            return 2
        _refuse_stores(VERBS[verb], words, names)
        if VERBS[verb].needs_tensorflow:
            require_tensorflow(f"keras-res3d {verb}")
        with watched(f"keras-res3d {verb}") if VERBS[verb].reads_videos else contextlib.nullcontext():
            return module.run(words)


def _refuse_stores(verb: Verb, words: list[str], names: Iterable[str]) -> None:
    """Raises ValueError where a flag or a word is an address that the verb cannot read or write."""
    given = [(f"--{name}", name, FLAGS[name].value) for name in sorted(names)]
    for what, name, value in [*given, *((f"the word {word}", "", word) for word in words)]:
        for each in value if isinstance(value, list) else [value]:
            if is_remote(each) and name not in verb.stores:
                refuse(what, each)
            if isinstance(each, str) and name not in verb.addresses:
                try:
                    as_path(each)
                except ValueError as error:
                    raise ValueError(f"{what}: {error}") from None


def _is_user_error(error: Exception) -> bool:
    """Whether one line says enough; TensorFlow's own errors, of a data pipeline for example, are no RuntimeErrors."""
    tensorflow = sys.modules.get("tensorflow")
    ours = (*USER_ERRORS, tensorflow.errors.OpError) if hasattr(tensorflow, "errors") else USER_ERRORS
    return isinstance(error, ours) and not isinstance(error, OUR_FAULTS)


def _guarded(verb: str, arguments: list[str]) -> int:
    """Runs a verb; what the user can mend is said in a line that begins with the verb."""
    try:
        return _run_verb(verb, arguments)
    except KeyboardInterrupt:
        print(f"\nkeras-res3d {verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except Exception as error:
        if not _is_user_error(error):
            raise
        if os.environ.get("KERAS_RES3D_TRACEBACK"):
            traceback.print_exc()
        print(f"keras-res3d {verb}: {_message(str(error) or type(error).__name__)}", file=sys.stderr)
        return 1


def _message(text: object) -> str:
    """A message as it is printed; its further lines stay off the margin, so that none passes for another message."""
    return re.sub(r"\n(?=\S)", "\n  ", printable(text, lines=True))


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {_message(message)}", file=sys.stderr)


def _never_fail_to_print() -> None:
    """What the terminal's encoding lacks is printed as an escape; a class name in Chinese is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def main(argv: list[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0 done, 1 failed, 2 called wrongly."""
    # TensorFlow's start-up messages say nothing about the user's work; the environment can ask for them back.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = sys.argv[1:] if argv is None else list(argv)
    _never_fail_to_print()
    if arguments[:1] == ["help"] or (arguments and arguments[0] in HELP):
        # `help train` is `train --help`.
        arguments = [*arguments[1:2], "--help"] if arguments[1:] else []
    if not arguments:
        print(_overview())
        return 0
    if arguments[0] == "--version":
        from keras_res3d import __version__

        print(__version__)
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        hint = suggestion(close_to(verb, [*VERBS, "help"])) or f"; there are {', '.join(VERBS)}"
        print(f"keras-res3d: there is no verb {verb!r}{hint}", file=sys.stderr)
        return 2
    warnings.showwarning = _show_warning
    return _guarded(verb, arguments[1:])


if __name__ == "__main__":
    sys.exit(main())

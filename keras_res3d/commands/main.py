"""keras-res3d: 3D residual networks for video, trained, scored, exported and compared.

Usage: keras-res3d VERB [ARGUMENTS] [--flags]
       keras-res3d VERB --help
"""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
import traceback
import warnings

from absl import flags

FLAGS = flags.FLAGS

# verb -> what it does; its module has the same name.
VERBS = {
    "quickstart": "train, score, export and compare two small nets on the embedded data; writes a report",
    "models": "the zoo: inputs, parameters, GMACs, the paper's figures beside them",
    "check": "every fault of a data set in one pass, before anything is trained",
    "pack": "videos to shards of JPEG frames, which are read several times as fast",
    "train": "train a net on your videos",
    "evaluate": "score a trained net per clip and per video",
    "predict": "classify videos; a picture of the scores over time",
    "export": "SavedModel, LiteRT, ONNX, OpenVINO, each checked against Keras",
    "weights": "pretrained weights: list, download, convert",
}


def _overview() -> str:
    verbs = "\n".join(f"  {verb:<11} {summary}" for verb, summary in VERBS.items())
    return f"{__doc__.rstrip()}\n\nVerbs:\n{verbs}"


def verb_help(module, names) -> str:
    """A verb's docstring and its own flags, with defaults."""
    lines = [module.__doc__.strip(), ""]
    if names:
        lines.append("Flags:")
    for name in sorted(names):
        flag = FLAGS[name]
        default = "" if flag.default is None else f" (default: {flag.default_as_str.strip(chr(39))})"
        lines.append(f"  --{name}")
        lines.append(textwrap.indent(textwrap.fill(f"{flag.help}{default}", 92), " " * 8))
    return "\n".join(lines)


def _run_verb(verb: str, arguments: list[str]) -> int:
    """Defines the verb's flags for this call alone, parses, runs."""
    module = importlib.import_module(f"keras_res3d.commands.{verb}")
    before = set(FLAGS)
    module.define_flags()
    names = set(FLAGS) - before
    try:
        if {"--help", "-h", "-help", "--helpfull"} & set(arguments):
            print(verb_help(module, names))
            return 0
        try:
            rest = FLAGS([verb, *arguments])
        except flags.Error as error:
            print(f"keras-res3d {verb}: {error}\nkeras-res3d {verb} --help shows its flags", file=sys.stderr)
            return 2
        return module.run(rest[1:])
    finally:
        FLAGS.unparse_flags()
        for name in names:
            delattr(FLAGS, name)


def main(argv: list[str] | None = None) -> int:
    """Runs one verb; returns the exit code: 0 done, 1 failed, 2 called wrongly."""
    # TensorFlow's start-up messages say nothing about the user's work; the environment can ask for them back.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_overview())
        return 0
    if arguments[0] == "--version":
        from keras_res3d import __version__

        print(__version__)
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        print(f"keras-res3d: no verb {verb!r}; there are {', '.join(VERBS)}", file=sys.stderr)
        return 2
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        return _run_verb(verb, arguments[1:])
    except KeyboardInterrupt:
        print(f"\nkeras-res3d {verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if os.environ.get("KERAS_RES3D_TRACEBACK"):
            traceback.print_exc()
        print(f"keras-res3d {verb}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

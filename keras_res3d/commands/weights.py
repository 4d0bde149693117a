"""List pretrained weights: which there are, under which licence, and whether they are on this machine already.

    keras-res3d weights                        list every entry with its licence, metrics and state
    keras-res3d weights get res3d18/sports1m   download the original, check it and convert it
"""

from __future__ import annotations

from keras_res3d import tables
from keras_res3d.commands.common import import_keras_quietly
from keras_res3d.weights import catalog
from keras_res3d.weights.store import MIRROR_VARIABLE, cache_home, state_of

USAGE = "[get NAME]"


def define_flags() -> None:
    """This verb has no flags."""


def _metrics(entry) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in entry.metrics.items())


def _show_rows() -> None:
    header = ["name", "trained on", "licence", "metrics, %", "frames", "about", "state"]
    rows = [
        [entry.name, entry.trained_on, entry.licence, _metrics(entry), f"{entry.frames}",
         f"{entry.estimated_bytes / 1e6:.0f} MB", state_of(entry)]
        for entry in catalog.entries()
    ]  # fmt: skip
    print(tables.as_text(header, rows))
    for entry in catalog.entries():
        if entry.remark:
            print(f"\n{entry.name}: {entry.remark}", end="")
    print(
        f"\n\nThe cache is {tables.printable(cache_home())}; {MIRROR_VARIABLE} may name a mirror. "
        "Sizes are estimated from parameter counts."
    )


def run(args: list[str]) -> int:
    if not args:
        _show_rows()
        return 0
    if args[0] != "get" or len(args) != 2:
        raise ValueError(f"called with {' '.join(args)}; expected nothing, or: get NAME, as in get res3d18/sports1m")
    entry = catalog.find_name(args[1])
    print(f"{entry.name}: {entry.source}\nlicence {entry.licence}; trained on {entry.trained_on}")
    import_keras_quietly()
    from keras_res3d.weights.store import converted

    print(f"ready: {tables.printable(converted(entry))}\n{entry.net} takes it as weights={entry.tag!r}")
    return 0

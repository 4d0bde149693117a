"""Sentences about what is wrong with a data set, each of a kind, so that a thousand of one kind stay readable."""

from __future__ import annotations

import collections
import re
from collections.abc import Hashable, Iterable

# So many faults of one kind are shown; the rest of that kind is counted.
SHOWN = 20


class Fault(str):
    """A sentence that knows its kind.

    Args:
        text: the sentence.
        kind: two or three words that all faults of the kind share, such as "missing file"; None takes the first plain
            words of the sentence, which a name in front of it would spoil.
    """

    kind: str

    def __new__(cls, text: str, kind: str | None = None) -> Fault:
        fault = super().__new__(cls, text)
        fault.kind = kind or kind_of(text)
        return fault


def kind_of(fault: str) -> str:
    """The kind of a fault: its own, or the first two plain words behind its place, "missing file" for example."""
    if isinstance(fault, Fault):
        return fault.kind
    text = re.sub(r"^(?:.*?\b)?line \d+: ", "", fault, count=1, flags=re.DOTALL)
    text = re.sub(r"'[^']*'|\"[^\"]*\"", " ", text)
    return " ".join(re.findall(r"(?<!\S)[a-zA-Z]+(?=[\s:;,.)]|$)", text)[:2]) or "others"


def doubled(names: Iterable[Hashable]) -> list:
    """Those of the names that are there more than once, each once, in the order in which they come."""
    return [name for name, count in collections.Counter(names).items() if count > 1]


def prefixed(name: str, fault: str) -> Fault:
    """The fault with the name of its list in front, of the same kind."""
    return Fault(f"{name}: {fault}", kind_of(fault))


def shown(faults: Iterable[str], limit: int = SHOWN) -> list[str]:
    """The faults to print: the first `limit` of each kind, the last of which is followed by how many more there are."""
    faults = list(faults)
    left, lines = collections.Counter(map(kind_of, faults)), []
    done: collections.Counter[str] = collections.Counter()
    for fault in faults:
        kind = kind_of(fault)
        done[kind] += 1
        if done[kind] <= limit:
            lines.append(str(fault))
        if done[kind] == limit and left[kind] > limit:
            lines.append(f"... and {left[kind] - limit} more of this kind ({kind})")
    return lines

"""The public names, signatures and flags are those on the list of docs/public_api.txt."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import public_api  # noqa: E402

from keras_res3d.data import batches  # noqa: E402


def test_names_signatures_and_flags_are_those_of_the_list():
    found = public_api.differences(public_api.LIST.read_text().splitlines(), public_api.lines())
    assert not found, "\n".join([
        "The public interface is not that of docs/public_api.txt (- gone, + new). What is gone is put back, with a "
        "DeprecationWarning and a row in docs/stability.md; what is new goes on the list by "
        "`python tools/public_api.py --write`.", *found])  # fmt: skip


def test_signatures_are_told_with_kinds_and_defaults_and_without_addresses():
    class Local:
        def __init__(self, first, *rest, made=list, plain=(1, "a"), **options: int):
            pass

        def method(self, value: float = 0.5) -> None:
            pass

        def _hidden(self):
            pass

        @property
        def size(self):
            return 1

        @classmethod
        def read(cls, path):
            return cls(path)

    Local.__module__ = "keras_res3d.somewhere"
    assert public_api._named("x.Local", Local) == [
        "x.Local(first, *rest, made=list, plain=(1, 'a'), **options)", "x.Local.method(value=0.5)", "x.Local.size",
        "x.Local.read(path)"]  # fmt: skip
    assert public_api._named("x.ROWS", {"a": 1}) == ["x.ROWS['a']"]
    assert public_api.differences(["a(x)", "b"], ["a(x, y)", "b"]) == ["- a(x)", "+ a(x, y)"]


def test_every_deprecation_is_in_the_documentation():
    """A warning of the package stands in the table of docs/stability.md, by the call that it is about."""
    package = pathlib.Path(batches.__file__).parents[1]
    warned = [re.search(r'"([\w.]+\([\w=.]*\))[^"]*"[^"]*"?[^"]*"?,\s*DeprecationWarning', text) for text in
              (path.read_text() for path in package.rglob("*.py")) if "DeprecationWarning" in text]  # fmt: skip
    told = (ROOT / "docs" / "stability.md").read_text()
    assert warned
    for found in warned:
        assert found and f"`{found[1]}`" in told

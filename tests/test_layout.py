"""The house's rules, read off the source: imports run one way without a circle, modules and functions stay small."""

from __future__ import annotations

import ast
import functools
import pathlib

import pytest

import keras_res3d

PACKAGE = pathlib.Path(keras_res3d.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# The rooms from the ground up: a module imports from its own room and from those before it. docs/architecture.md says
# what each is for.
ROOMS = (
    "regular_files", "asking", "remote", "io", "untrusted", "tables", "table_files", "measures", "scores",
    "multi_label", "nets", "data", "cards", "weights", "applications", "export", "inference", "training", "search",
    "tasks", "reports", "quickstart", "commands",
)  # fmt: skip
LONGEST_MODULE, LONGEST_FUNCTION = 450, 40


def _name(module: pathlib.Path) -> str:
    """`keras_res3d.nets.zoo` of the file; a package's `__init__.py` has the package's name."""
    return ".".join(module.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


NAMES = {_name(module): module for module in MODULES}


@functools.cache
def _tree(module: pathlib.Path) -> ast.Module:
    return ast.parse(module.read_text())


def _imports(module: pathlib.Path):
    """(module of this package, name taken from it or None) for every import, those inside functions too."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{_name(module)} line {node.lineno}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in NAMES:
                    yield whole, None
                elif node.module in NAMES:
                    yield node.module, alias.name
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name in NAMES)


def _room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


@pytest.mark.parametrize("name", NAMES)
def test_imports_run_one_way(name):
    if not _room(name):  # the public face names everything
        return
    below = ROOMS[: ROOMS.index(_room(name)) + 1]
    for imported, _ in _imports(NAMES[name]):
        assert not _room(imported) or _room(imported) in below, f"{name} imports {imported}, which lies above it"


def test_no_circle_between_files():
    arrows = {name: {other for other, _ in _imports(module)} - {"keras_res3d"} for name, module in NAMES.items()}
    done = set()

    def visit(name, path):
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name not in done:
            for other in sorted(arrows[name]):
                visit(other, [*path, name])
            done.add(name)

    for name in NAMES:
        visit(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_names_are_imported_from_where_they_are_defined(name):
    for imported, taken in _imports(NAMES[name]):
        if taken is None or imported == "keras_res3d":
            continue
        body = _tree(NAMES[imported]).body
        imports = [node for node in body if isinstance(node, ast.ImportFrom)]
        passed_on = {alias.asname or alias.name for node in imports for alias in node.names}
        assert taken not in passed_on, f"{name} takes {taken} from {imported}, which has it from elsewhere"


@pytest.mark.parametrize("name", NAMES)
def test_modules_and_functions_stay_small(name):
    text = NAMES[name].read_text()
    assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(_tree(NAMES[name])):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            body = node.body[1:] if documented and len(node.body) > 1 else node.body
            assert body[-1].end_lineno - body[0].lineno < LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("name", NAMES)
def test_modules_begin_alike(name):
    """A docstring comes first, then lazy annotations; public functions say what they return."""
    tree = _tree(NAMES[name])
    assert ast.get_docstring(tree), "the module has no docstring"
    body = tree.body[1:]
    if not body:
        return
    lazy = isinstance(body[0], ast.ImportFrom) and body[0].module == "__future__"
    assert lazy, "expected `from __future__ import annotations` after the docstring"
    for node in body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            assert node.returns is not None, f"{node.name} has no annotation of what it returns"


def test_public_names_exist():
    for name in keras_res3d.__all__:
        assert getattr(keras_res3d, name).__doc__, name
    assert set(keras_res3d.__all__) <= set(dir(keras_res3d))

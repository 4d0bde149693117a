"""The house's rules, read off the source: imports run one way, modules and functions stay small."""

import ast
import pathlib

import pytest

import keras_res3d

PACKAGE = pathlib.Path(keras_res3d.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each room may import of the package, besides itself.
MAY_IMPORT = {
    "nets": set(),
    "video": set(),
    "cards": {"video"},
    "weights": {"nets", "cards", "video.labels"},
    "applications": {"nets", "weights"},
    "export": {"nets", "cards", "video"},
    "training": {"nets", "video", "cards", "applications", "protocols.classification", "weights.catalog"},
    "protocols": {"nets", "video", "cards", "applications", "training", "export", "weights"},
    "figures": {"nets"},
}


def _room(module: pathlib.Path) -> str:
    return module.relative_to(PACKAGE).with_suffix("").parts[0]


def _imports(module: pathlib.Path):
    """Dotted names inside the package that a module imports, relative ones resolved."""
    own = module.relative_to(PACKAGE.parent).with_suffix("").parts
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(own[: -node.level]) + "." if node.level else ""
            yield (base + (node.module or "")).rstrip(".")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_run_one_way(module):
    room = _room(module)
    if room not in MAY_IMPORT:  # commands, quickstart and the public face read all
        return
    allowed = MAY_IMPORT[room] | {room}
    for name in _imports(module):
        if not name.startswith("keras_res3d."):
            continue
        inside = name.removeprefix("keras_res3d.")
        assert any(inside == part or inside.startswith(part + ".") for part in allowed), name


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(module):
    text = module.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            body = node.body[1:] if documented and len(node.body) > 1 else node.body
            assert body[-1].end_lineno - body[0].lineno < 40, node.name


def test_public_names_exist():
    for name in keras_res3d.__all__:
        assert getattr(keras_res3d, name).__doc__, name
    assert set(keras_res3d.__all__) <= set(dir(keras_res3d))

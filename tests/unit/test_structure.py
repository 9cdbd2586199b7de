"""The tests themselves: named after what they test, and independent of one another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

UNIT = Path(__file__).parent
TESTS = UNIT.parent
PACKAGE = TESTS.parent / "reconciler"


def is_named_after(test: Path, folder: Path) -> bool:
    """Whether a test is `test_<module>.py` or `test_<module>_<theme>.py` of a module or package in `folder`."""
    tested = test.stem.removeprefix("test_")
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    return any(tested == module or tested.startswith(f"{module}_") for module in modules)


def test_each_unit_test_is_named_after_the_module_that_it_tests() -> None:
    tests = [path for path in UNIT.rglob("test_*.py") if path != Path(__file__)]
    assert len(tests) > 50, "they are found"
    astray = [path for path in tests if not is_named_after(path, PACKAGE / path.parent.relative_to(UNIT))]
    assert astray == []


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_test_imports_another() -> None:
    """What several tests share is in tests/parts, or a fixture in a conftest.py."""
    for path in TESTS.rglob("*.py"):
        assert not [
            name for name in imported(path) if "test_" in name or name.startswith(("tests.unit", "tests.system"))
        ]

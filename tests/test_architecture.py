"""The shape of the house: who may import whom, no cycles, and files and functions that fit in a head."""

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "conventions",
    "store",
    "serving",
    "collector",
    "analytics",
    "dashboard",
    "training",
    "loadgen",
    "tokenjoule",
]
MAX_FILE_LINES = 300
MAX_SQL_LINES = 120
MAX_FUNCTION_LINES = 60
SDK_MODULES = {"serving.telemetry", "loadgen.telemetry", "training.track"}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager"}


def sources(suffix: str) -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob(f"*{suffix}")]


def test_import_contracts_hold() -> None:
    """The contracts of pyproject.toml, by import-linter."""
    script = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([script, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:]


def test_no_import_cycles() -> None:
    """No package has modules that import each other in a ring."""
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    for package in PACKAGES:
        breakers = graph.nominate_cycle_breakers(package)
        assert not breakers, f"{package}: import cycle through {sorted(breakers)}"


def test_only_the_telemetry_modules_import_the_opentelemetry_sdk() -> None:
    """Everybody else speaks through them, so that the SDK can be configured in one place per process."""
    graph = grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)
    importers = graph.find_modules_that_directly_import("opentelemetry") if "opentelemetry" in graph.modules else set()
    allowed = SDK_MODULES | {module for module in importers if module.startswith("collector.")}  # opentelemetry.proto
    assert importers <= allowed, sorted(importers - allowed)


@pytest.mark.parametrize("path", sources(".py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_python_files_and_functions_are_short(path: Path) -> None:
    """A file over the limit is a concept without a name."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", sources(".sql"), ids=lambda path: str(path.relative_to(ROOT)))
def test_sql_files_are_short(path: Path) -> None:
    """One object per file."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_SQL_LINES


def test_modules_are_named_for_what_they_hold() -> None:
    """A reader finds the room by its name."""
    assert not [path for path in sources(".py") if path.stem in FORBIDDEN_NAMES]

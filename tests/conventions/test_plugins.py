"""A folder lists itself, without importing its modules."""

import sys
from pathlib import Path

import pytest

from conventions import plugins
from conventions.errors import PluginError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    package = tmp_path / "tj_choices"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_types.py").write_text("raise RuntimeError")
    (package / "red.py").write_text("class Policy:\n    pass\n")
    (package / "broken.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "tj_choices"


def test_names_are_files_without_underscore_and_nothing_is_imported(folder: str) -> None:
    assert plugins.names(folder) == ["broken", "red"]
    assert f"{folder}.broken" not in sys.modules


def test_load_imports_one_and_returns_its_role(folder: str) -> None:
    assert plugins.load(folder, "red", "Policy").__name__ == "Policy"


def test_an_unknown_name_answers_with_the_choices(folder: str) -> None:
    with pytest.raises(
        PluginError, match=r"unknown tj_choices 'rad' \(did you mean 'red'\?\): choose from broken, red"
    ):
        plugins.load(folder, "rad", "Policy")


@pytest.mark.parametrize("name", ["../budgets/errors", "errors.sql/..", "", "erors"])
def test_text_is_read_from_the_folder_and_from_nowhere_else(name: str) -> None:
    assert "requests" in plugins.text("analytics.budgets", "errors", ".sql", "kind of budget")
    with pytest.raises(PluginError, match="unknown kind of budget"):
        plugins.text("analytics.metrics", name, ".sql", "kind of budget")

"""Settings refuse what they do not know and say what they would have understood."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conventions import settings
from conventions.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Backend:
    name: str
    port: int = 8101


@dataclass(frozen=True, slots=True)
class Gateway:
    host: str = "127.0.0.1"
    timeout_s: float = 30.0
    data: Path | None = None
    keys: dict[str, str] = field(default_factory=dict)
    backends: tuple[Backend, ...] = ()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_section_becomes_its_dataclass(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[serving.gateway]\ntimeout_s = 5\ndata = "d"\nkeys = {k = "t"}\n[[serving.gateway.backends]]\nname = "a"\n',
    )
    expected = Gateway(timeout_s=5.0, data=Path("d"), keys={"k": "t"}, backends=(Backend("a"),))
    assert settings.section(path, "serving.gateway", Gateway) == expected


def test_a_missing_section_gives_defaults(tmp_path: Path) -> None:
    assert settings.section(write(tmp_path, ""), "serving.gateway", Gateway) == Gateway()


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown key 'timout_s'; did you mean 'timeout_s'"):
        settings.section(write(tmp_path, "[g]\ntimout_s = 1.0\n"), "g", Gateway)


def test_a_wrong_type_names_key_and_both_types(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"backends\[0\] port: expected int, got str 'x'"):
        settings.section(write(tmp_path, '[[g.backends]]\nname = "a"\nport = "x"\n'), "g", Gateway)


def test_a_missing_required_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name"):
        settings.section(write(tmp_path, "[[g.backends]]\nport = 1\n"), "g", Gateway)


def test_a_boolean_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected float, got bool"):
        settings.section(write(tmp_path, "[g]\ntimeout_s = true\n"), "g", Gateway)


def test_environment_variables_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TJ_HOST", "::1")
    assert settings.section(write(tmp_path, '[g]\nhost = "${TJ_HOST}"\n'), "g", Gateway).host == "::1"
    with pytest.raises(SettingsError, match="TJ_NONE is not set"):
        settings.section(write(tmp_path, '[g]\nhost = "${TJ_NONE}"\n'), "g", Gateway)


def test_bad_toml_and_missing_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"c\.toml: .*line 1"):
        settings.read(write(tmp_path, "a = 1 2"))
    with pytest.raises(SettingsError, match="--config"):
        settings.read(tmp_path / "none.toml")

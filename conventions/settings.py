"""Typed settings from one TOML file: one section per package, dataclasses as the schema.

An unknown key refuses to start and names the nearest known one; a wrong type names the key and both types.
``${NAME}`` in a string is taken from the environment. Only ``__main__`` modules call this.
"""

import dataclasses
import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from conventions.errors import SettingsError

T = TypeVar("T")

_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read(path: Path) -> dict[str, Any]:
    """The whole file as nested dictionaries. Raises ``SettingsError`` with the path and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such configuration file; pass --config PATH") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None


def section(path: Path, dotted: str, schema: type[T]) -> T:
    """The section ``dotted`` (``"serving.gateway"``) of the file as an instance of the dataclass ``schema``.

    A missing section gives the defaults of the schema.
    """
    values: Any = read(path)
    for key in dotted.split("."):
        values = values.get(key, {})
    return build(schema, values, where=f"{path}: [{dotted}]")


def build(schema: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of ``schema`` from plain values; ``where`` begins every error message."""
    hints = typing.get_type_hints(schema)
    known = {field.name for field in dataclasses.fields(schema)}  # type: ignore[arg-type]  # T is a dataclass by contract
    for key in values:
        if key not in known:
            raise SettingsError(f"{where}: unknown key {key!r}{_nearest(key, known)}")
    arguments = {key: _convert(hints[key], value, f"{where} {key}") for key, value in values.items()}
    try:
        return schema(**arguments)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{where}: {error}") from None


def _nearest(key: str, known: set[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(sorted(known))}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _convert_union(arguments, value, where)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return build(typing.cast(Any, hint), value, where)
    if origin in (list, tuple) and isinstance(value, list):
        items = [_convert(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin is dict and isinstance(value, Mapping):
        return {_expand(key, where): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None:
        return None
    return _convert(next(option for option in arguments if option is not type(None)), value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(_expand(value, where))
    if type(value) is not hint:
        raise SettingsError(
            f"{where}: expected {getattr(hint, '__name__', hint)}, got {type(value).__name__} {value!r}"
        )
    return _expand(value, where) if hint is str else value


def _expand(text: str, where: str) -> str:
    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise SettingsError(f"{where}: environment variable {name} is not set")
        return os.environ[name]

    return _ENVIRONMENT.sub(replace, text)

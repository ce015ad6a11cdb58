"""Command-line flags out of a settings dataclass: ``max_input`` is ``--max-input``, its help is beside the field."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from conventions.settings import build

T = TypeVar("T")
Flags = argparse.ArgumentParser | argparse._ArgumentGroup

_PARSERS: dict[Any, Any] = {int: int, float: float, str: str, Path: str}


def add(parser: Flags, schema: type, without: frozenset[str] = frozenset()) -> None:
    """A flag for every field of ``schema`` that explains itself; a flag that is not given leaves no trace."""
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if field.name not in without and "help" in field.metadata:
            text = _help(field)
            parser.add_argument(_flag(field.name), default=argparse.SUPPRESS, help=text, **_reading(hints[field.name]))


def given(options: Mapping[str, Any], schema: type, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The values among ``options`` that belong to ``schema`` and were given."""
    names = {field.name for field in dataclasses.fields(schema)} - without
    return {name: value for name, value in options.items() if name in names and value is not None}


def built(schema: type[T], values: Mapping[str, Any]) -> T:
    """An instance of ``schema``. Raises ``SettingsError`` for values that it refuses."""
    return build(schema, values, where="flags")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _help(field: "dataclasses.Field[Any]") -> str:
    text: str = field.metadata["help"].replace("%", "%%")
    shown = field.default not in (None, (), False, True) and not isinstance(field.default, Path)
    return f"{text} [{field.default}]" if shown else text


def _reading(hint: Any) -> dict[str, Any]:
    """How argparse reads a value of the type ``hint``; unions are with None only."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if typing.get_origin(hint) is tuple:
        return {"type": _listed, "metavar": "A,B,…"}
    return {"type": _PARSERS[hint], "metavar": hint.__name__.upper()}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]

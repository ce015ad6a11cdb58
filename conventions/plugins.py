"""A folder is a registry: one module is one choice, its file name is its name.

``names`` lists without importing anything from the folder's modules; ``load`` imports exactly one and
returns its role class or function (``Policy``, ``Probe``, ``Dialect`` …). Packages outside the house add
choices through entry points in the group ``tokenjoule.<folder>``.
"""

import difflib
import functools
import importlib
import importlib.metadata
import importlib.resources
from typing import Any

from conventions.errors import PluginError


def names(package: str, suffix: str = ".py") -> list[str]:
    """Sorted names of the choices in ``package`` (dotted), without those that start with an underscore."""
    files = (entry.name for entry in importlib.resources.files(package).iterdir())
    inside = {name.removesuffix(suffix) for name in files if name.endswith(suffix) and not name.startswith("_")}
    return sorted(inside | {point.name for point in _entry_points(package)})


def load(package: str, name: str, role: str) -> Any:
    """The attribute ``role`` of the module ``package.name``.

    Raises ``PluginError`` naming the choices when there is no such module.
    """
    for point in _entry_points(package):
        if point.name == name:
            return point.load()
    if name not in names(package):
        raise PluginError(unknown(package.rsplit(".", 1)[-1], name, names(package)))
    return getattr(importlib.import_module(f"{package}.{name}"), role)


@functools.cache
def text(package: str, name: str, suffix: str, kind: str) -> str:
    """The file ``name`` + ``suffix`` of ``package``, for folders whose choices are SQL or data.

    Raises ``PluginError`` naming the choices, as choices of ``kind``, when there is no such file. A name with an
    underscore in front is read but is no choice.
    """
    file = importlib.resources.files(package).joinpath(f"{name}{suffix}")
    if not name.isidentifier() or not file.is_file():  # names come over HTTP too: no way out of the folder
        raise PluginError(unknown(kind, name, names(package, suffix)))
    return file.read_text(encoding="utf-8")


def unknown(kind: str, name: str, choices: list[str]) -> str:
    """The message for a name that is not among ``choices``, with the nearest one if there is any."""
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {kind} {name!r}{hint}: choose from {', '.join(choices)}"


@functools.cache  # reading the metadata of every installed package takes 10 ms
def _entry_points(package: str) -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=f"tokenjoule.{package.rsplit('.', 1)[-1]}")

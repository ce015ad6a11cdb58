"""Budgets and rules from a configuration file, checked against each other; presets where a budget has no rule."""

import logging
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from analytics.alerting.rule import Rule, unreachable
from analytics.budgets import Budget
from analytics.budgets.durations import duration
from conventions import plugins, settings
from conventions.errors import SettingsError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Sections:
    budgets: tuple[Budget, ...] = ()
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class _Row:
    severity: str
    long: str
    short: str
    factor: float


@dataclass(frozen=True, slots=True)
class _Preset:
    kind: str
    window: str
    source: str
    rows: tuple[_Row, ...]


@dataclass(frozen=True, slots=True)
class _Presets:
    presets: tuple[_Preset, ...]


def load(path: Path) -> tuple[list[Budget], list[Rule]]:
    """The ``[[budgets]]`` and ``[[rules]]`` of the file; a budget that no rule names gets the presets of its window.

    Raises ``SettingsError``, also for a rule that can never fire, with the numbers.
    """
    values = {key: value for key, value in settings.read(path).items() if key in ("budgets", "rules")}
    sections = settings.build(_Sections, values, where=str(path))
    budgets = {budget.name: budget for budget in sections.budgets}
    if len(budgets) < len(sections.budgets):
        raise SettingsError(f"{path}: two budgets have the same name")
    for rule in sections.rules:
        _check(rule, budgets, path)
    named = {rule.budget for rule in sections.rules}
    presets = [rule for budget in budgets.values() if budget.name not in named for rule in default_rules(budget)]
    return list(budgets.values()), [*sections.rules, *presets]


def default_rules(budget: Budget) -> list[Rule]:
    """The preset rules for ``budget``, without those that could never fire on it (logged with the numbers)."""
    kind = "errors" if budget.is_errors else "spend"
    fitting = [preset for preset in _presets() if preset.kind == kind and duration(preset.window) <= budget.length]
    rows = max(fitting, key=lambda preset: duration(preset.window)).rows if fitting else ()
    rules = [
        Rule(f"{budget.name}-{row.long}", budget.name, row.long, row.short, row.factor, row.severity) for row in rows
    ]
    for rule in rules:
        if reason := unreachable(rule, budget):
            _log.warning("preset rule %s is left out: %s", rule.name, reason)
    return [rule for rule in rules if not unreachable(rule, budget)]


def _check(rule: Rule, budgets: dict[str, Budget], path: Path) -> None:
    if rule.budget not in budgets:
        raise SettingsError(f"{path}: rule {rule.name!r}: {plugins.unknown('budget', rule.budget, list(budgets))}")
    if reason := unreachable(rule, budgets[rule.budget]):
        raise SettingsError(f"{path}: rule {rule.name!r} can never fire: {reason}")


@cache
def _presets() -> tuple[_Preset, ...]:
    with resources.as_file(resources.files("analytics.alerting") / "presets.toml") as path:
        return settings.build(_Presets, settings.read(path), where=str(path)).presets

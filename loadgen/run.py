"""One run: check it, tell the collector, replay it through Locust, sum it up. Only the load process imports this."""

import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from locust.env import Environment

from conventions import plugins
from conventions.errors import SettingsError, UpstreamError
from conventions.settings import build
from loadgen.plan import Plan, Scenario
from loadgen.records import Records
from loadgen.session import Session
from loadgen.settings import LoadSettings, checked_target
from loadgen.summary import Heading, RunResult, summarise
from loadgen.telemetry import Labels, Telemetry
from loadgen.user import user_class

log = logging.getLogger(__name__)

Watch = Callable[[Session], None]
"""Sees the session before it starts, to show progress or to stop it."""


class Run:
    """The parts of one run. ``prepare`` → ``open`` → replay of ``session`` → ``close``."""

    def __init__(self, settings: LoadSettings, heading: Heading, scenario: Scenario, plan: Plan) -> None:
        self.settings = settings
        self._heading = heading
        self._described = _described(scenario)
        self._records = Records(settings.collector_url, settings.admin_token)
        labels = Labels(heading.run_id, heading.scenario, heading.arm)
        self._telemetry = Telemetry(settings.collector_url, labels, settings.ingest_token)
        self.session = Session(plan, self._telemetry, settings.max_in_flight)

    @staticmethod
    def prepare(settings: LoadSettings, name: str, values: Mapping[str, Any]) -> "Run":
        """Check target, scenario settings and limits, and compute the plan; nothing is sent yet.

        Raises ``SettingsError``, ``PluginError`` or ``TraceFormatError``.
        """
        target = checked_target(settings.target, allow_remote=settings.allow_remote)
        scenario, plan = planned(name, {**settings.scenarios.get(name, {}), **values})
        _check_limits(plan, settings)
        heading = Heading(
            run_id=settings.run_id or f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}",
            scenario=name,
            arm=settings.arm,
            target=target,
            started_unix_ns=time.time_ns(),
        )
        return Run(settings, heading, scenario, plan)

    @property
    def target(self) -> str:
        """The checked address of the server under load."""
        return self._heading.target

    def open(self) -> None:
        """Record the start. Raises ``UpstreamError`` when there should be a collector and is none."""
        self._records.started(self._heading, self._described)

    def close(self) -> RunResult:
        """Flush the spans, sum up, record the end; a collector that is gone by now becomes a note."""
        spans_lost = self._telemetry.shutdown()
        plan = self.session.plan
        result = summarise(self._heading, self.session.finished, len(plan.requests), spans_lost, plan.notes)
        try:
            self._records.ended(self._heading, result, self._described)
        except UpstreamError as error:
            log.error("%s", error)
            return dataclasses.replace(result, notes=(*result.notes, str(error)))
        return result


def run(settings: LoadSettings, name: str, values: Mapping[str, Any], watch: Watch | None = None) -> RunResult:
    """Run the scenario ``name`` with its own settings ``values`` and return what it showed.

    Raises ``SettingsError``, ``PluginError``, ``TraceFormatError`` before anything is sent, ``UpstreamError`` when
    the collector is not there.
    """
    prepared = Run.prepare(settings, name, values)
    prepared.open()
    if watch is not None:
        watch(prepared.session)
    _replay(prepared)
    return prepared.close()


def planned(name: str, values: Mapping[str, Any]) -> tuple[Scenario, Plan]:
    """The scenario and its plan. Raises ``SettingsError`` for values that the scenario refuses."""
    schema = plugins.load("loadgen.scenarios", name, "Scenario")
    scenario: Scenario = build(schema, values, where=name)
    try:
        return scenario, scenario.plan()
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _replay(prepared: Run) -> None:
    user = user_class(prepared.session, prepared.target, prepared.settings)
    environment = Environment(user_classes=[user], host=prepared.target)
    runner = environment.create_local_runner()
    runner.start(1, spawn_rate=1)
    try:
        prepared.session.over.wait()
    finally:
        runner.quit()


def _check_limits(plan: Plan, settings: LoadSettings) -> None:
    if len(plan.requests) > settings.max_requests:
        raise SettingsError(f"the plan has {len(plan.requests)} requests, over --max-requests {settings.max_requests}")
    if plan.duration_s > settings.max_seconds:
        raise SettingsError(f"the plan takes {plan.duration_s:.0f} s, over --max-seconds {settings.max_seconds:.0f}")


def _described(scenario: Scenario) -> dict[str, Any]:
    """Settings for the record; API keys are secrets, so only their number is kept."""
    values = {field.name: getattr(scenario, field.name) for field in dataclasses.fields(scenario)}  # type: ignore[arg-type]  # a dataclass by contract
    return {name: _plain(len(value) if name == "keys" else value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value

"""What makes a scenario's file a locustfile: its settings as Locust flags, its plan as the load of one user.

Locust imports this through ``loadgen/scenarios/*.py``; nobody else does.
"""

import argparse
import logging

import gevent
from locust import events
from locust.env import Environment
from locust.exception import StopUser
from rich.console import Console

from conventions.errors import TokenjouleError
from loadgen import flags
from loadgen.plan import Scenario
from loadgen.run import Run
from loadgen.settings import LoadSettings
from loadgen.tables import result_table
from loadgen.user import OpenLoopUser

log = logging.getLogger(__name__)

_OWN_FLAGS = frozenset({"target", "json", "scenarios"})  # Locust has --host and --json


def locustfile(name: str, scenario: type[Scenario]) -> type[OpenLoopUser]:
    """The user class that makes a scenario's file a locustfile, with the scenario's settings as Locust flags."""

    @events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
    def _add_flags(parser: argparse.ArgumentParser) -> None:
        flags.add(parser, LoadSettings, without=_OWN_FLAGS)
        flags.add(parser, scenario)

    class ScenarioUser(OpenLoopUser):
        abstract = False

        def on_start(self) -> None:
            options = vars(self.environment.parsed_options)
            values = flags.given(options, LoadSettings, without=_OWN_FLAGS) | {"target": self.host}
            try:
                self._run = Run.prepare(flags.built(LoadSettings, values), name, flags.given(options, scenario))
                self._run.open()
            except TokenjouleError as error:
                log.error("%s", error)
                self.environment.process_exit_code = 2
                _quit_soon(self.environment)
                raise StopUser from None
            type(self).session, type(self).settings = self._run.session, self._run.settings

        def replayed(self) -> None:
            Console().print(result_table(self._run.close()))
            _quit_soon(self.environment)

    return ScenarioUser


def _quit_soon(environment: Environment) -> None:
    """End a headless Locust; the web interface stays, to be read and started again."""
    if environment.runner is not None and vars(environment.parsed_options)["headless"]:
        gevent.spawn_later(0.1, environment.runner.quit)  # not now: it would kill the greenlet that calls it

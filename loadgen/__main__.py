"""``python -m loadgen run SCENARIO …``: one load run, its table, its JSON. Exits 1 when nothing succeeded."""

# Before everything else: sockets, locks and sleeps of this process become gevent's.
from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402

from conventions import logs, plugins, settings  # noqa: E402
from conventions.errors import TokenjouleError  # noqa: E402
from loadgen import flags, progress  # noqa: E402
from loadgen.run import run  # noqa: E402
from loadgen.session import Session  # noqa: E402
from loadgen.settings import LoadSettings  # noqa: E402
from loadgen.summary import RunResult  # noqa: E402
from loadgen.tables import result_table  # noqa: E402

_OWN_KEYS = frozenset({"scenarios"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, print; the exit code: 0 = something succeeded, 1 = nothing did, 2 = it could not begin."""
    options = _parser().parse_args(arguments)
    logs.configure(options.log_level)
    screen = Console(stderr=True)
    try:
        result = _run(options, screen)
    except TokenjouleError as error:
        screen.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2
    Console().print(result_table(result))
    return 0 if result.ok else 1


def _run(options: argparse.Namespace, screen: Console) -> RunResult:
    given = vars(options)
    schema = plugins.load("loadgen.scenarios", options.scenario, "Scenario")
    load = flags.built(LoadSettings, {**_from_file(options.config), **flags.given(given, LoadSettings, _OWN_KEYS)})

    def watch(session: Session) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            gevent.signal_handler(number, session.stop)
        progress.show(session, screen)

    result = run(load, options.scenario, flags.given(given, schema), watch)
    if load.json is not None:
        load.json.write_text(result.to_json() + "\n", encoding="utf-8")
    return result


def _from_file(path: Path | None) -> dict[str, object]:
    """Section ``[loadgen]`` of the configuration file; ``[loadgen.scenarios.NAME]`` holds a scenario's settings."""
    if path is None:
        return {}
    section = settings.read(path).get("loadgen", {})
    settings.build(LoadSettings, section, where=f"{path}: [loadgen]")
    return dict(section)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadgen", description="Open-loop load for LLM servers.")
    running = parser.add_subparsers(dest="command", required=True).add_parser("run", help="run one scenario")
    scenarios = running.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    for name in plugins.names("loadgen.scenarios"):
        schema = plugins.load("loadgen.scenarios", name, "Scenario")
        summary = sys.modules[schema.__module__].__doc__
        one = scenarios.add_parser(name, help=summary, description=summary)
        one.add_argument("--config", type=Path, help="TOML file with a section [loadgen]")
        one.add_argument("--log-level", default="WARNING", help="[WARNING]")
        flags.add(one.add_argument_group("run"), LoadSettings)
        flags.add(one.add_argument_group("scenario"), schema)
    return parser


if __name__ == "__main__":
    sys.exit(main())

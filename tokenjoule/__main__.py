"""``tokenjoule``: the command line. Each command imports what it needs when it runs, so that ``--help`` is quick."""

import signal
import sys

import typer
from rich.console import Console
from rich.markup import escape

from conventions.errors import TokenjouleError
from tokenjoule.commands import (
    check,
    demonstrate,
    diagnose,
    evaluate,
    export,
    keep,
    ledger,
    load,
    operate,
    query,
    report,
)

app = typer.Typer(
    name="tokenjoule",
    help="Know what every successful token costs, in joules, grams, dollars and milliseconds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.command("demo")(demonstrate.demo)
app.command("up")(operate.up)
app.command("serve")(operate.serve)
app.command("collect")(operate.collect)
app.command("load", context_settings=load.PASS_ON)(load.load)
app.command("compare")(load.compare)
app.command("query")(query.query)
app.command("check")(check.check)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(evaluate.calibrate)
app.command("backup")(keep.backup)
app.command("restore")(keep.restore)
app.command("doctor")(diagnose.doctor)
app.add_typer(ledger.app, name="ledger")
app.add_typer(report.app, name="report")
app.add_typer(export.app, name="export")


def main() -> None:
    """Entry point: our own errors are one readable line and exit code 2, everything else is a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leave through the stack's clean-up
    try:
        app()
    except TokenjouleError as error:
        Console(stderr=True).print(f"[red]error[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()

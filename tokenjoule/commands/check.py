"""``tokenjoule check``: burn-rate rules once, with an exit code."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from tokenjoule.commands.options import DEMO_CONFIG, Config, DataDirectory, StoreUrl, store_url


def check(
    config: Config = DEMO_CONFIG,
    url: StoreUrl = None,
    data: DataDirectory = None,
    at: Annotated[datetime | None, typer.Option(help="Judge as of this UTC time; default now.")] = None,
) -> None:
    """Evaluate the burn-rate rules over their budgets: exit 0 = none fires, 1 = one does, 2 = cannot tell."""
    from analytics import alerting
    from store import reading

    budgets, rules = alerting.load(config)
    moment = (at or datetime.now(UTC)).replace(tzinfo=None)
    with reading.open(store_url(url, data)) as reader:
        findings = alerting.evaluate(reader, rules, budgets, moment)
    typer.echo(alerting.summary_text(findings))
    raise typer.Exit(alerting.exit_code(findings))

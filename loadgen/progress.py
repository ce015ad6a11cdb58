"""A progress bar that leaves the stopwatches alone: drawn twice a second from a greenlet, on terminals only."""

from typing import Final

import gevent
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from loadgen.session import Session

_PERIOD_S: Final = 0.5


def show(session: Session, console: Console) -> None:
    """Draw how many requests of ``session`` have ended, until it is over. A no-op without a terminal."""
    if console.is_terminal:
        gevent.spawn(_draw, session, console)


def _draw(session: Session, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # rich's own refresh thread draws ten times a second, each stopping every stopwatch for about a millisecond.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("requests", total=len(session.plan.requests))
        while not session.over.wait(_PERIOD_S):
            progress.update(task, completed=len(session.finished), refresh=True)

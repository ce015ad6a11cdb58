"""``tokenjoule backup`` and ``restore``: a copy of the store that reads like the store."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from tokenjoule.commands.options import DataDirectory

DEFAULT_URL = "http://127.0.0.1:4318"


def backup(
    to: Annotated[Path, typer.Option(help="New folder; below the collector's backup folder when one runs.")],
    url: Annotated[str | None, typer.Option(help="Address of the running collector.")] = None,
    data: DataDirectory = None,
    token: Annotated[str | None, typer.Option(envvar="TOKENJOULE_ADMIN_TOKEN", help="The admin token.")] = None,
) -> None:
    """Back up a running collector's store (--url), or the data folder of one that does not run (--data)."""
    from conventions.errors import SettingsError

    if url and data:
        raise SettingsError("give --url of a running collector or --data of one that does not run, not both")
    if data:
        typer.echo(f"{to}: {_of_folder(data, to)} bytes")
    else:
        answer = _ask(url or DEFAULT_URL, str(to), token)
        typer.echo(f"{answer['path']}: {answer['bytes']} bytes")


def restore(
    source: Annotated[Path, typer.Option("--from", help="Folder of a backup.")],
    data: Annotated[Path, typer.Option(help="New data folder; refused when it is not empty.")],
) -> None:
    """Make a data folder from a backup; start a collector on it afterwards."""
    from store import backup as backups

    typer.echo(f"{data}: {backups.restore(source, data)} bytes")


def _of_folder(data: Path, to: Path) -> int:
    from collector.spool.segments import SPOOL, Spool
    from conventions.errors import StoreError
    from store import backup as backups
    from store.connection import database_file
    from store.writing import Store

    if not database_file(data).exists():
        raise StoreError(f"no store in {data}: give a collector's data folder")
    with Store.open(data) as store:
        if Spool(store.file.parent / SPOOL, store.spooled_until).left:
            raise StoreError(f"{data} has acknowledged requests that are not in its store yet: start a collector on it")
        return backups.backup(store, to)


def _ask(url: str, to: str, token: str | None) -> dict[str, object]:
    from conventions.errors import StoreError

    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(f"{url.rstrip('/')}/v1/backup", json.dumps({"to": to}).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:
            answer: dict[str, object] = json.loads(response.read())
            return answer
    except urllib.error.HTTPError as error:
        raise StoreError(f"{url}: {_reason(error.read())}") from None
    except (urllib.error.URLError, OSError) as error:
        why = getattr(error, "reason", error)
        raise StoreError(f"{url} does not answer ({why}): is the collector running there? Else give --data") from None


def _reason(body: bytes) -> str:
    """What the collector says is wrong, without its JSON."""
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")

"""``POST /v1/backup``: a backup into a new folder below the one that the settings allow, on the collector's machine."""

from pathlib import Path

import anyio.to_thread
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from collector.answering.answering import CLIENT_LEFT
from collector.answering.query import Endpoint, bounded_body, decoded, refusal, unauthorised
from collector.receiving.access import allowed
from conventions.errors import MalformedPayload, PayloadTooLarge, StoreError
from store.backup import backup
from store.writing import Store

MAX_BODY_BYTES = 65_536


class Wanted(msgspec.Struct, frozen=True):
    """The body: a folder, absolute or below the allowed one."""

    to: str


def backup_endpoint(store: Store, allowed_folder: Path | None, token: str | None = None) -> Endpoint:
    """The endpoint. Answers ``{"path": …, "bytes": n}`` when the backup is whole, 400 and 503 with the reason."""

    async def back_up(request: Request) -> Response:
        if not allowed(request, token):
            return unauthorised()
        if allowed_folder is None:
            return refusal(400, 'no backups here: set [collector] backups = "FOLDER"')
        try:
            wanted = decoded(await bounded_body(request, MAX_BODY_BYTES), Wanted).to
            target = _below(allowed_folder, wanted)
            size = await anyio.to_thread.run_sync(backup, store, target)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        except (PayloadTooLarge, MalformedPayload) as error:
            return refusal(400, str(error))
        except StoreError as error:
            return refusal(503, str(error))
        return JSONResponse({"path": str(target), "bytes": size})

    return back_up


def _below(folder: Path, wanted: str) -> Path:
    """``wanted`` inside ``folder``, links followed. Raises ``MalformedPayload``."""
    if "\x00" in wanted:
        raise MalformedPayload("a path has no zero bytes")
    root = folder.resolve()
    target = (root / wanted).resolve()
    if target == root or not target.is_relative_to(root):
        raise MalformedPayload(f"{wanted!r} is not a folder below {root}: backups go there")
    return target

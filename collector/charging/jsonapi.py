"""GET of a JSON document with a secret in a header: bounded, over TLS, never redirected, the secret in no message."""

import ipaddress
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from collector.charging.provider import GridUnavailable

TIMEOUT_S: Final = 10.0
MAX_BYTES: Final = 8_000_000


class Unauthorised(GridUnavailable):
    """The server does not know the token, or it has run out."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the secret to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def get(url: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Any:
    """The document at ``url?query``. Raises ``GridUnavailable``, also ``Unauthorised``, with host and reason."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not _is_loopback(parts.hostname):
        raise GridUnavailable(f"{parts.hostname}: refusing to send a token without TLS; use an https:// address")
    asked = f"{url}?{urlencode(query)}" if query else url
    try:
        request = urllib.request.Request(asked, headers={"accept": "application/json", **headers})
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read(MAX_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        raise _refused(parts.hostname, parts.path, error.code) from None
    except (OSError, ValueError) as error:
        raise GridUnavailable(f"{parts.hostname}{parts.path}: {type(error).__name__} {error}") from None


def _refused(host: str | None, path: str, code: int) -> GridUnavailable:
    if code in (401, 403):
        return Unauthorised(f"{host}{path} answered {code}: check the token, and that it may see this zone")
    if code == 429:
        return GridUnavailable(f"{host}{path} answered 429: too many questions, set a longer refresh_s")
    return GridUnavailable(f"{host}{path} answered {code}")


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False

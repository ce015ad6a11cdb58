"""Bearer tokens, compared in constant time and never logged.

A caller without a token that is known here is a stranger (401); one whose token opens something else is known and may
not (403): to send again with the same token helps neither.
"""

import hmac
from dataclasses import dataclass

from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Door:
    """``token`` opens it; everybody may in where there is none. ``given`` are all tokens of this collector."""

    token: str | None = None
    given: tuple[str, ...] = ()

    def refusal(self, authorization: str) -> int | None:
        """401 or 403 for the value of an ``authorization`` header or metadata entry; ``None`` for who may in."""
        if carries(authorization, self.token):
            return None
        return 403 if any(carries(authorization, other) for other in self.given) else 401


def allowed(request: Request, token: str | None) -> bool:
    """Whether the request carries ``token``; always when there is none to carry."""
    return carries(request.headers.get("authorization", ""), token)


def carries(authorization: str, token: str | None) -> bool:
    """Whether the value of an ``authorization`` header or metadata entry is ``Bearer`` and ``token``."""
    if token is None:
        return True
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())

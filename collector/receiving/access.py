"""Bearer tokens, compared in constant time and never logged."""

import hmac

from starlette.requests import Request


def allowed(request: Request, token: str | None) -> bool:
    """Whether the request carries ``token``; always when there is none to carry."""
    return carries(request.headers.get("authorization", ""), token)


def carries(authorization: str, token: str | None) -> bool:
    """Whether the value of an ``authorization`` header or metadata entry is ``Bearer`` and ``token``."""
    if token is None:
        return True
    scheme, _, given = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())

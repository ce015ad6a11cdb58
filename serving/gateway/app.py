"""The gateway as an ASGI application: six paths, no middleware."""

from dataclasses import dataclass

from serving.backends.fleet import Fleet
from serving.gateway.ask import PATHS, Operation
from serving.gateway.calls import Calls
from serving.gateway.metrics import Counters
from serving.gateway.replies import ApiError, Receive, Scope, Send, invalid_key, send_bytes, send_error, send_json
from serving.gateway.tenants import Tenants
from serving.routing._types import AUTO_MODEL

_OPERATIONS: dict[str, Operation] = {path: operation for operation, path in PATHS.items()}
_PAGES = ("/v1/models", "/metrics", "/health")


@dataclass(frozen=True, slots=True)
class Gateway:
    """Answers HTTP. ``/health`` is open to all; everything else needs a key where there are keys."""

    fleet: Fleet
    tenants: Tenants
    calls: Calls
    counters: Counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI 3)."""
        assert scope["type"] == "http", "the server is started without lifespan and without websockets"
        path, method = scope["path"], scope["method"]
        operation = _OPERATIONS.get(path)
        if error := _misdirected(path, method):
            await send_error(send, error, [])
        elif path == "/health":
            await self._health(send)
        else:
            await self._with_key(operation, path, dict(scope["headers"]), receive, send)

    async def _with_key(
        self, operation: Operation | None, path: str, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        tenant = self.tenants.of(headers.get(b"authorization"))
        if tenant is None:
            self.counters.unauthorised()
            await send_error(send, invalid_key(), [])
        elif operation is not None:
            await self.calls.serve(operation, tenant, headers, receive, send)
        elif path == "/v1/models":
            await send_json(send, {"object": "list", "data": [_model(name) for name in self.fleet.models()]})
        else:
            await send_bytes(send, 200, self.counters.text(), b"text/plain; version=0.0.4; charset=utf-8", [])

    async def _health(self, send: Send) -> None:
        healthy = [backend.healthy for backend in self.fleet.backends]
        status = "ok" if all(healthy) else "degraded" if any(healthy) else "down"
        backends = [
            {
                "name": backend.name, "model": backend.served_as, "tier": backend.tier, "healthy": backend.healthy,
                "in_flight": backend.in_flight, "last_error": backend.last_error,
            }
            for backend in self.fleet.backends
        ]  # fmt: skip
        await send_json(send, {"status": status, "backends": backends}, 503 if status == "down" else 200)


def _misdirected(path: str, method: str) -> ApiError | None:
    known = _OPERATIONS.keys() | set(_PAGES)
    if path not in known:
        return ApiError(404, f"no such path {path!r}: choose from {', '.join(sorted(known))}", "not_found")
    allowed = "POST" if path in _OPERATIONS else "GET"
    if method != allowed:
        message = f"{path} answers to {allowed}, not to {method}"
        return ApiError(405, message, "method_not_allowed", headers=[(b"allow", allowed.encode())])
    return None


def _model(name: str) -> dict[str, object]:
    owner = "tokenjoule-gateway" if name == AUTO_MODEL else "tokenjoule"
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}

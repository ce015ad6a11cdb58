"""The open loop as a Locust user: one user per run, whose single task replays the whole plan.

Importing Locust patches the interpreter, so only the load process and Locust itself import this module.
"""

from collections.abc import Callable
from typing import Any, ClassVar

from geventhttpclient.client import HTTPClientPool
from geventhttpclient.url import URL
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from loadgen.client import PATH, ChatClient
from loadgen.exchange import Exchange
from loadgen.session import Session
from loadgen.settings import LoadSettings


class OpenLoopUser(FastHttpUser):
    """Replays ``session`` through this user's connection pool and reports each answer to Locust's statistics."""

    abstract = True
    fixed_count = 1  # the plan is the whole load: a second user would send it twice
    session: ClassVar[Session]
    settings: ClassVar[LoadSettings]

    @task
    def replay(self) -> None:
        """Send the plan, wait for the answers, then stop this user."""
        http = self.client.client.clientpool.get_client(URL(str(self.host)))
        client = ChatClient(http, self.settings.timeout_s, response_cache=self.settings.response_cache)
        self.session.replay(client, lambda exchange: report(self.environment, exchange))
        self.replayed()
        raise StopUser

    def replayed(self) -> None:
        """Called once when the last answer has ended."""


def user_class(session: Session, target: str, settings: LoadSettings) -> type[OpenLoopUser]:
    """A user that replays ``session`` against ``target``."""
    pool = HTTPClientPool(
        concurrency=settings.max_in_flight, network_timeout=settings.timeout_s, connection_timeout=settings.timeout_s
    )
    values = {"session": session, "host": target, "settings": settings, "client_pool": pool}
    return type("OpenLoop", (OpenLoopUser,), {**values, "abstract": False})


def report(environment: Environment, exchange: Exchange) -> None:
    """The request, and its TTFT as an entry of its own, to whoever listens to ``environment.events.request``."""
    fire: Callable[..., None] = environment.events.request.fire
    fire(exception=None if exchange.ok else RuntimeError(exchange.error), **_entry("POST", exchange, exchange.e2e_s))
    if exchange.ok and exchange.ttft_s is not None:
        fire(exception=None, **_entry("TTFT", exchange, exchange.ttft_s))


def _entry(kind: str, exchange: Exchange, seconds: float) -> dict[str, Any]:
    return {
        "request_type": kind,
        "name": PATH,
        "response_time": seconds * 1e3,
        "response_length": len(exchange.text),
        "context": {},
        "start_time": exchange.sent_unix_ns / 1e9,
        "url": PATH,
    }

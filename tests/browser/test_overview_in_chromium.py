"""A real Chromium on a real Streamlit server over a seeded store: read the five numbers, filter, see them change."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from dashboard import sample
from store.writing import Store

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LABELS = ["Energy per successful token", "TTFT p95", "Latency p95", "Cache hit rate", "Budget burn"]
CONFIG = """
[collector]
data = "{folder}"
port = {port}

[collector.sampler]
probes = []

[[budgets]]
name = "tokens"
kind = "tokens"
limit = 750_000.0
window = "1d"
"""
STREAMLIT_PROBES = re.compile(r"/_stcore/(health|host-config)$")
"""Streamlit looks for its server below a page's own path first and goes up on 404; Chromium logs each."""


@dataclass
class Seen:
    """What the browser complained about, and where it went."""

    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not STREAMLIT_PROBES.search(message.location.get("url", "")):
            self.errors.append(f"{message.text} {message.location}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard's address; it reads over HTTP from a collector that owns the seeded store."""
    folder = tmp_path_factory.mktemp("browser")
    with Store.open(folder) as store:
        sample.write(store, sample.library_days(datetime.now(UTC).replace(tzinfo=None), hours=48))
    config = folder / "tokenjoule.toml"
    config.write_text(CONFIG.format(folder=folder, port=_free_port()), encoding="utf-8")
    with _process("collector", "--config", str(config)) as collector:
        environment = {"TOKENJOULE_STORE": collector, "TOKENJOULE_CONFIG": str(config)}
        with _process("dashboard", "--port", str(_free_port()), **environment) as address:
            yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 800}, timezone_id="America/New_York")
        browser.close()


@pytest.fixture
def seen(chromium: Page, server: str) -> Iterator[Seen]:
    noted = Seen()
    chromium.on("console", noted.note)
    chromium.on("pageerror", lambda error: noted.errors.append(str(error)))
    chromium.on("request", lambda request: None if _local(request.url, server) else noted.elsewhere.append(request.url))
    yield noted
    assert noted.errors == []
    assert noted.elsewhere == [], "the dashboard asks nobody but its own server"


def test_five_numbers_a_filter_and_no_error(chromium: Page, server: str, seen: Seen) -> None:
    chromium.goto(f"{server}/?range=24h")
    before = _numbers(chromium)
    assert list(before) == LABELS
    assert re.fullmatch(r"[\d.]+ m?J/token", before["Energy per successful token"])
    assert re.fullmatch(r"[\d.]+ m?s", before["TTFT p95"])
    assert re.fullmatch(r"[\d.]+ %", before["Cache hit rate"])
    _no_error(chromium)
    _picture(chromium)

    chromium.get_by_test_id("stMultiSelect").first.click()
    chromium.get_by_role("option", name="scout").click()
    expect(chromium.get_by_test_id("stMetricLabel").first).to_contain_text("attributed", timeout=30_000)
    after = _numbers(chromium)
    assert after["Energy per successful token"] != before["Energy per successful token"]
    assert after["Latency p95"] != before["Latency p95"]
    assert "tier=scout" in chromium.url
    _no_error(chromium)


def test_a_shared_link_shows_the_same_filter(chromium: Page, server: str, seen: Seen) -> None:
    chromium.goto(f"{server}/?range=24h&tier=expert")
    expect(chromium.get_by_test_id("stMetricLabel").first).to_contain_text("attributed", timeout=30_000)
    expect(chromium.get_by_test_id("stMultiSelect").first).to_contain_text("expert")


@pytest.mark.parametrize("name", ["latency", "requests"])
def test_the_other_views_draw(chromium: Page, server: str, seen: Seen, name: str) -> None:
    chromium.goto(f"{server}/{name}?range=24h")
    drawn = "stVegaLiteChart" if name == "latency" else "stDataFrame"
    expect(chromium.get_by_test_id(drawn).first).to_be_visible(timeout=30_000)
    _no_error(chromium)


def _numbers(page: Page) -> dict[str, str]:
    metrics = page.get_by_test_id("stMetric")
    expect(metrics).to_have_count(len(LABELS), timeout=30_000)
    expect(page.locator("[data-stale=true]")).to_have_count(0, timeout=30_000)
    labels = page.get_by_test_id("stMetricLabel").all_inner_texts()
    values = page.get_by_test_id("stMetricValue").all_inner_texts()
    return dict(zip(map(_bare, labels), values, strict=True))


def _bare(label: str) -> str:
    """A label without its badge and what stands in brackets."""
    return re.sub(r"\(.*?\)|simulated", "", label).strip()


def _no_error(page: Page) -> None:
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def _picture(page: Page) -> None:
    """Kept only when asked for, so that a test run leaves the checkout as it was."""
    path = os.environ.get("TOKENJOULE_SCREENSHOT")
    if path:
        page.locator("[data-testid=stDataFrame] canvas").first.wait_for(timeout=30_000)
        page.wait_for_timeout(1_000)  # charts animate in
        page.screenshot(path=Path(path))


@contextmanager
def _process(module: str, *arguments: str, **environment: str) -> Iterator[str]:
    """A process of ours and the address in its ready line; ended with SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            yield next(line.split()[2] for line in process.stdout if line.startswith(f"ready {module} "))
        finally:
            process.terminate()
            process.wait(15)


def _local(url: str, server: str) -> bool:
    return url.startswith((server, server.replace("http", "ws", 1), "data:", "blob:"))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

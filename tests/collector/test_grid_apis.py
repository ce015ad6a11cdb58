"""The clients of Electricity Maps and WattTime against a local server that answers as they document."""

import json
import logging
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from collector.charging.gridfeed import Feed, open_provider
from collector.charging.provider import GridContext, GridUnavailable
from collector.settings import GridSettings
from conventions import plugins
from conventions.errors import SettingsError
from store.writing import Store

SECRET = "sesame-4711"
SINCE, UNTIL = datetime(2026, 11, 20, 12), datetime(2026, 11, 21, 12)


class Service:
    """Answers by path; remembers what it was asked and with which headers."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append((parts.path, parse_qs(parts.query), headers))
                found = service.answers.get(parts.path, (404, {}))
                code, body = found.pop(0) if isinstance(found, list) else found
                self.send_response(code)
                if code == 302:
                    self.send_header("location", body)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    opened = Service()
    yield opened
    opened.close()


def hour(at: str, grams: float | None, **more: Any) -> dict[str, Any]:
    """A value as Electricity Maps documents it (API v3, carbon-intensity)."""
    told = {"zone": "DE", "carbonIntensity": grams, "datetime": f"{at}:00.000Z", "updatedAt": f"{at}:40.000Z"}
    return told | {"emissionFactorType": "lifecycle", "isEstimated": False, "estimationMethod": None} | more


def moer(*points: tuple[str, float], units: str = "lbs_co2_per_mwh", signal: str = "co2_moer") -> dict[str, Any]:
    """An answer of ``/v3/historical`` as WattTime documents it."""
    meta = {"region": "CAISO_NORTH", "signal_type": signal, "units": units, "data_point_period_seconds": 300}
    rows = [{"point_time": f"{at}:00+00:00", "value": value} for at, value in points]
    return {"data": rows, "meta": meta | {"model": {"date": "2026-03-01"}, "warnings": []}}


def maps(service: Service) -> Any:
    context = GridContext("DE", token=SECRET, url=service.url)
    return plugins.load("collector.grid", "electricity_maps", "Provider")(context)


def watttime(service: Service) -> Any:
    context = GridContext("CAISO_NORTH", "marginal", username="me", password=SECRET, url=service.url)
    return plugins.load("collector.grid", "watttime", "Provider")(context)


def test_electricity_maps_hours_are_average_and_say_when_they_are_estimated(service: Service) -> None:
    estimated = {"isEstimated": True, "estimationMethod": "TIME_SLICER_AVERAGE"}
    rows = [hour("2026-11-20T11:00", 1.0), hour("2026-11-21T09:00", 320.0), hour("2026-11-21T10:00", None)]
    service.answers["/carbon-intensity/history"] = (200, {"zone": "DE", "history": rows})
    service.answers["/carbon-intensity/latest"] = (200, hour("2026-11-21T11:00", 300.0, **estimated))
    found = maps(service).read(SINCE, UNTIL)
    assert [(row.started_at.hour, row.g_per_kwh, row.basis, row.estimated, row.source) for row in found] == [
        (9, 320.0, "average", False, "electricity_maps"),
        (11, 300.0, "average", True, "electricity_maps TIME_SLICER_AVERAGE"),
    ]
    assert {row.ended_at.hour - row.started_at.hour for row in found} == {1}
    assert {(row.emissions, row.year) for row in found} == {("lifecycle", None)}
    path, query, headers = service.asked[0]
    assert (query["zone"], headers["auth-token"]) == (["DE"], SECRET)
    assert SECRET not in path


def test_watttime_is_marginal_in_grams_and_logs_in_again_when_the_token_has_run_out(service: Service) -> None:
    service.answers["/login"] = (200, {"token": "t"})
    good = (200, moer(("2026-11-21T11:00", 1000.0), ("2026-11-21T11:05", 0.0)))
    service.answers["/v3/historical"] = [good, (401, {}), good]
    provider = watttime(service)
    for _ in range(2):
        found = provider.read(SINCE, UNTIL)
    assert [(row.g_per_kwh, row.basis, row.estimated) for row in found] == [
        (pytest.approx(453.59237), "marginal", True),
        (0.0, "marginal", True),
    ]
    assert (found[0].ended_at - found[0].started_at).total_seconds() == 300
    assert found[0].source == "watttime co2_moer model 2026-03-01"
    paths = [path for path, _, _ in service.asked]
    assert paths == ["/login", "/v3/historical", "/v3/historical", "/login", "/v3/historical"]
    assert service.asked[1][1]["start"] == ["2026-11-20T12:00:00Z"]
    assert service.asked[1][2]["authorization"] == "Bearer t"


@pytest.mark.parametrize("answer", [moer(units="kg"), moer(signal="health_damage"), {"data": []}, [1]])
def test_another_signal_or_unit_is_refused_rather_than_converted(service: Service, answer: Any) -> None:
    service.answers |= {"/login": (200, {"token": "t"}), "/v3/historical": (200, answer)}
    with pytest.raises(GridUnavailable, match="than documented"):
        watttime(service).read(SINCE, UNTIL)


@pytest.mark.parametrize(
    ("code", "told"),
    [(401, "check the token"), (429, "longer refresh_s"), (500, "answered 500"), (302, "answered 302")],
)
def test_a_refusal_names_the_remedy_and_never_the_token(service: Service, code: int, told: str) -> None:
    service.answers["/carbon-intensity/history"] = (code, f"{service.url}/elsewhere")
    with pytest.raises(GridUnavailable, match=told) as caught:
        maps(service).read(SINCE, UNTIL)
    assert SECRET not in str(caught.value)
    assert [path for path, _, _ in service.asked] == ["/carbon-intensity/history"], "a token follows no redirect"


def test_a_token_is_not_sent_without_tls() -> None:
    provider = plugins.load("collector.grid", "electricity_maps", "Provider")
    with pytest.raises(GridUnavailable, match="https://"):
        provider(GridContext("DE", token=SECRET, url="http://api.example.com")).read(SINCE, UNTIL)


def test_without_secrets_the_collector_says_what_to_set() -> None:
    with pytest.raises(GridUnavailable, match="ELECTRICITYMAPS_TOKEN"):
        open_provider(GridSettings(provider="electricity_maps", zone="DE"))
    with pytest.raises(GridUnavailable, match="WATTTIME_PASSWORD"):
        open_provider(GridSettings(provider="watttime", zone="CAISO_NORTH", basis="marginal"))
    with pytest.raises(SettingsError, match="no average intensities"):
        open_provider(GridSettings(provider="watttime", zone="CAISO_NORTH"))


def test_secrets_are_in_no_repr() -> None:
    told = GridSettings(zone="DE", token=SECRET, password=SECRET)
    assert SECRET not in repr(told) + repr(GridContext("DE", token=SECRET, password=SECRET))


def test_a_service_that_is_down_is_said_once_and_older_values_stay(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now().astimezone().isoformat(timespec="minutes")
    row = hour("2026-11-21T11:00", 300.0) | {"datetime": now}
    service.answers["/carbon-intensity/latest"] = (200, row)
    service.answers["/carbon-intensity/history"] = [(200, {"history": []}), (503, {}), (503, {})]
    with Store.open(tmp_path / "store", memory_limit="256MB") as store, caplog.at_level(logging.WARNING):
        feed = Feed(store, maps(service), None, 900.0)
        for _ in range(3):
            feed.refresh()
        assert store.query("SELECT g_per_kwh FROM grid_intensity").to_pylist() == [{"g_per_kwh": 300.0}]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "answered 503" in told[0]
    assert SECRET not in told[0]

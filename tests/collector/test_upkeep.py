"""Old days are sealed and forgotten by the running collector, and a clock that was set forgets nothing."""

import time
from pathlib import Path

import pytest

from collector.settings import UpkeepSettings
from collector.upkeep import Upkeep
from conventions.errors import SettingsError
from store import sealing
from store.writing import Store
from tests.collector.running_collector import Start
from tests.store.store_samples import DAY_NS, NOON_NS, spans
from tests.store.test_sealing import DAY, fill

DAY_S = 86_400


def clock(day: float) -> float:
    return (DAY + day) * DAY_S


def upkeep(store: Store, at_day: float, **settings: float) -> Upkeep:
    return Upkeep(store, UpkeepSettings(**settings), lambda: clock(at_day), lambda: 1_000.0)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "data")


def test_days_are_sealed_then_forgotten_then_deleted(store: Store) -> None:
    with store:
        fill(store)
        first = upkeep(store, 3.5, hot_days=1, keep_days=2).keep()
        assert (first.sealed, first.forgotten) == ([DAY, DAY + 1], [DAY])
        second = upkeep(store, 3.5, hot_days=1, keep_days=2).keep()
        assert (second.sealed, second.forgotten, second.swept) == ([], [], 2), "its spans and its requests"
        assert "sealed 2024-10-04, 2024-10-05; forgot 2024-10-04;" in str(first)


def test_nothing_is_forgotten_unless_asked(store: Store) -> None:
    with store:
        fill(store)
        done = upkeep(store, 9_999).keep()
        assert (len(done.sealed), done.forgotten) == (3, [])
        assert upkeep(store, 9_999, max_gb=1.0).keep().forgotten == []
        assert upkeep(store, 9_999, max_gb=1e-9).keep().forgotten == [DAY, DAY + 1, DAY + 2]


def test_a_clock_that_jumped_forgets_nothing_and_says_so(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    now = [clock(3)]
    with store:
        fill(store)
        keeper = Upkeep(store, UpkeepSettings(keep_days=30), lambda: now[0], lambda: 1_000.0)
        now[0] += 400 * DAY_S
        store.append_raw({"spans": spans(NOON_NS + 403 * DAY_NS)})
        assert keeper.keep().forgotten == []
        assert "the clock was set by 34560000 s" in caplog.text
        assert store.query("FROM spans").num_rows == 151
        now[0] -= 500 * DAY_S
        store.append_raw({"spans": spans(NOON_NS - 97 * DAY_NS)})
        assert keeper.keep().forgotten == []
        assert store.query("FROM spans").num_rows == 152
        assert store.query("SELECT min(received_ns) AS t FROM spans")["t"].to_pylist() == [NOON_NS - 97 * DAY_NS]


@pytest.mark.parametrize("wrong", [{"hot_days": 0}, {"keep_days": 0}, {"max_gb": 0.0}, {"interval_s": 0.0}])
def test_settings_that_would_forget_everything_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises((ValueError, SettingsError)):
        UpkeepSettings(**wrong)  # type: ignore[arg-type]


def test_a_running_collector_seals_and_answers_from_the_archive(start: Start, tmp_path: Path) -> None:
    with Store.open(tmp_path / "data") as store:
        fill(store)
    collector = start(extra="[collector.upkeep]\nhot_days = 1\n")
    until = time.monotonic() + 30
    while not list((tmp_path / "data" / "archive").rglob("day=2024-10-06/*.parquet")) and time.monotonic() < until:
        time.sleep(0.1)
    assert collector.query("SELECT count(*) FROM spans") == [[150]]
    assert collector.query("SELECT count(*) FROM requests") == [[4 * (5 + 6 + 7)]]
    assert collector.stop() == 0
    assert "; sealed 2024-10-04, 2024-10-05, 2024-10-06" in collector.log.read_text()
    with Store.open(tmp_path / "data") as store:
        assert min(sealing.hot_days(store)) > DAY + 2

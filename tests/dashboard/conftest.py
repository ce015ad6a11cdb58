"""Stores for the views: sample days, nothing at all, and requests without energy."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import sample
from store.writing import Store

DASHBOARD = Path(sample.__file__).parent


def _store(folder: Path, rows: dict[str, list[sample.Row]]) -> str:
    with Store.open(folder) as store:
        if rows:
            sample.write(store, rows)
    return f"duckdb:///{folder}"


def _days() -> dict[str, list[sample.Row]]:
    return sample.library_days(datetime.now(UTC).replace(tzinfo=None), hours=3, per_minute=3.0, quality="estimated")


@pytest.fixture(scope="session")
def sample_days() -> dict[str, list[sample.Row]]:
    return _days()


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory, sample_days: dict[str, list[sample.Row]]) -> str:
    return _store(tmp_path_factory.mktemp("seeded"), sample_days)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _store(tmp_path_factory.mktemp("empty"), {})


@pytest.fixture(scope="session")
def without_energy(tmp_path_factory: pytest.TempPathFactory, sample_days: dict[str, list[sample.Row]]) -> str:
    unknown = dict.fromkeys(("energy_j", "energy_se_j", "energy_quality", "co2e_g", "cost", "cost_energy", "grid_zone"))
    bare = [row | unknown for row in sample_days["requests"]]
    return _store(tmp_path_factory.mktemp("bare"), {"requests": bare, "attempts": sample_days["attempts"]})


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    def run(name: str, url: str, config: Path | None = None, **chosen: str) -> AppTest:
        monkeypatch.setenv("TOKENJOULE_STORE", url)
        monkeypatch.setenv("TOKENJOULE_CONFIG", str(config or ""))
        st.cache_data.clear()
        at = AppTest.from_file(str(DASHBOARD / "views" / f"{name}.py"), default_timeout=60)
        for key, value in chosen.items():
            at.query_params[key] = value
        return at.run()

    return run

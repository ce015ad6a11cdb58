import pytest

from conventions.errors import SettingsError
from loadgen.settings import LoadSettings, checked_target


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:1/", "http://[::1]:80", "https://127.8.0.1"]
)
def test_this_machine_may_be_loaded(url: str) -> None:
    assert checked_target(url, allow_remote=False) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://example.org", "http://10.0.0.1:8080", "http://127.0.0.1.example.org", "http://0.0.0.0"]
)
def test_other_machines_need_leave(url: str) -> None:
    with pytest.raises(SettingsError, match="--allow-remote"):
        checked_target(url, allow_remote=False)
    assert checked_target(url, allow_remote=True) == url


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="write http://host:port"):
        checked_target(url, allow_remote=True)


def test_limits_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match="above 0"):
        LoadSettings(max_in_flight=0)


@pytest.mark.parametrize(("given", "url"), [("none", None), ("", None), ("http://x:1/", "http://x:1")])
def test_none_means_no_collector(given: str, url: str | None) -> None:
    assert LoadSettings(collector=given).collector_url == url

"""A flood of refusals is a few lines of the log, and none of them is left uncounted."""

import logging

import pytest

from collector.receiving.refusals import EVERY_S, MOST_KINDS, RefusalLog


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_reason_is_said_once_a_minute_with_how_many_there_were(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = RefusalLog(clock)
    with caplog.at_level(logging.INFO):
        for number in range(1_000):
            log.say("503", f"{number} rows wait for the store", "10.0.0.1")
        clock.now_s += EVERY_S
        log.say("503", "7 rows wait for the store", "10.0.0.1")
    assert [record.getMessage() for record in caplog.records] == [
        "refused 10.0.0.1 with 503: 0 rows wait for the store",
        "refused 10.0.0.1 with 503: 7 rows wait for the store (999 more since the last such line)",
    ]


def test_other_reasons_and_other_peers_are_said_too(caplog: pytest.LogCaptureFixture) -> None:
    log = RefusalLog(Clock())
    with caplog.at_level(logging.INFO):
        for peer, reason in (("a", "too large"), ("b", "too large"), ("a", "not OTLP")):
            log.say("413", reason, peer)
    assert len(caplog.records) == 3


def test_what_is_remembered_is_bounded() -> None:
    log = RefusalLog(Clock())
    for number in range(3 * MOST_KINDS):
        log.say("400", "not OTLP", f"peer{number}")
    assert len(log._said) <= MOST_KINDS

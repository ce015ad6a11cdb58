"""Questions asked together have the answers they have alone."""

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from analytics import together
from analytics.metric import Window
from analytics.together import AT_ONCE, Question
from conventions.errors import PluginError, StoreError

DAY = Window(datetime(2026, 11, 20), datetime(2026, 11, 21))
HOUR = Window(DAY.start, DAY.start + timedelta(hours=1))


class Echo:
    """Answers every statement with its window, once as many have come as are asked at once."""

    def __init__(self, at_once: int = 1) -> None:
        self.asked: list[tuple[str, str]] = []
        self._together = threading.Barrier(at_once)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        assert parameters is not None
        assert sql
        self._together.wait(timeout=30)
        self.asked.append((parameters["start"], parameters["end"]))
        return pa.table({"start": [parameters["start"]], "end": [parameters["end"]]})


def test_answers_come_in_the_order_of_the_questions() -> None:
    questions = [
        Question("error_rate", DAY),
        Question("error_rate", HOUR),
        Question("tokens_per_second", DAY, ("tier",)),
    ]
    found = together.answers(Echo(), questions)
    assert [table["end"][0].as_py() for table in found] == [one.window.end.isoformat() for one in questions]


def test_equal_questions_are_asked_once() -> None:
    echo = Echo()
    found = together.answers(echo, [Question("error_rate", DAY)] * 3)
    assert len(found) == 3
    assert len(echo.asked) == 1


def test_as_many_run_at_once_as_are_said() -> None:
    """One after the other, nobody would ever arrive at the barrier that the first one waits at."""
    together.answers(Echo(AT_ONCE), [Question("error_rate", DAY), Question("error_rate", HOUR)])


def test_what_fails_is_raised() -> None:
    class Broken(Echo):
        def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
            raise StoreError(f"gone: {sql} {parameters}")

    with pytest.raises(StoreError, match="gone"):
        together.answers(Broken(), [Question("error_rate", DAY)])
    with pytest.raises(PluginError, match="unknown metric"):
        together.answers(Echo(), [Question("no_such", DAY)])

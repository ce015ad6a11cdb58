"""Which rows of a raw relation have not been settled yet, by their time of receipt.

Two things keep that from being one mark. Commits overtake each other, so that a second that was read may gain rows. And
the clock may be set back: rows are then received before others that were read long ago.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from store.writing import Store

SECOND_NS: Final = 1_000_000_000
LATE_COMMIT_NS: Final = 120 * SECOND_NS  # a row committed this long after it was received is still noticed
BACK_MARGIN_NS: Final = 10 * SECOND_NS  # the same while the clock is behind rows that were read

PASS_ROWS: Final = 200_000
"""New rows that a pass takes; what is behind them waits for the next, so that memory does not grow with the lag. A pass
writes its buckets anew: with 100,000 rows that was ten times what it added, and most of what it cost."""
FRESH_ROWS: Final = (
    "((received_ns > $since AND received_ns <= $until) OR (received_ns > $back AND received_ns <= $now))"
)
"""SQL's condition for rows that were not settled; its parameters are ``News.bounds``."""
NEWS: Final = """
    SELECT max(received_ns) AS newest FROM {relation} WHERE received_ns > $since"""
CUT: Final = """
    SELECT min(received_ns) AS newest FROM (
        SELECT received_ns FROM {relation} WHERE received_ns > $mark ORDER BY received_ns LIMIT 1 OFFSET $most)"""
RECENT: Final = """
    SELECT received_ns // $second AS second, count(*) AS rows FROM {relation}
    WHERE received_ns > $low AND received_ns <= $until GROUP BY ALL"""
NEWEST_BUCKET: Final = """
    SELECT max(bucket_ns) AS newest FROM (
        SELECT bucket_ns FROM requests_bucketed UNION ALL SELECT bucket_ns FROM energy_intervals_bucketed)
    WHERE bucket_ns <= $now"""


@dataclass(frozen=True, slots=True)
class News:
    """What of a raw relation is to be settled now.

    That is rows received after ``since_ns`` up to ``until_ns``, and those between ``back_ns`` and ``now_ns`` where the
    clock is behind ``since_ns``; both are 0 where it is not.
    """

    since_ns: int
    until_ns: int
    recent: dict[int, int]  # rows by second of receipt within LATE_COMMIT_NS before `until_ns`
    back_ns: int = 0
    now_ns: int = 0
    more: bool = False  # there are newer rows

    @property
    def low_ns(self) -> int:
        """No row that is new was received before."""
        return min(self.since_ns, self.back_ns) if self.back_ns else self.since_ns

    @property
    def bounds(self) -> dict[str, int]:
        """The parameters of ``FRESH_ROWS``."""
        return {"since": self.since_ns, "until": self.until_ns, "back": self.back_ns, "now": self.now_ns}


@dataclass(frozen=True, slots=True)
class _Unread:
    relation: str
    since: int
    mark: int
    newest: int | None
    cut: int | None  # the row of receipt at which a pass is full


class Reader:
    """Reads the news of relations; what was read counts as settled once ``settled`` is told so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._marks = store.settled_marks()
        self._seen: dict[str, News] = {}
        self._seen_at_s = time.monotonic()
        self._reading_at_s = self._seen_at_s

    def read(self, relations: tuple[str, ...]) -> list[News]:
        """The news of ``relations``, all up to the same moment of receipt: that at which one of them is a pass full.

        So a pass that lags sees energy up to where its spans reach, and not all that came since.
        """
        self._reading_at_s = time.monotonic()
        now_ns = time.time_ns()
        unread = [self._unread(relation, now_ns) for relation in relations]
        cut = min((one.cut for one in unread if one.cut is not None), default=None)
        return [self._news(one, cut, now_ns) for one in unread]

    def settled(self, news: Mapping[str, News]) -> None:
        """``news`` is settled: only what comes after it is new."""
        self._seen = dict(news)
        self._seen_at_s = self._reading_at_s

    @property
    def marks(self) -> dict[str, int]:
        """The newest rows that are settled, by relation, to be kept for the next start."""
        return {relation: news.until_ns for relation, news in self._seen.items()}

    @property
    def more(self) -> bool:
        """Whether there was more than one pass takes."""
        return any(news.more for news in self._seen.values())

    def until_ns(self, relation: str) -> int | None:
        """The newest row of ``relation`` that is settled."""
        seen = self._seen.get(relation)
        return seen.until_ns if seen else None

    def _unread(self, relation: str, now_ns: int) -> "_Unread":
        """The mark is set back to a second that gained rows, and no further: under load commits overtake each other."""
        seen = self._seen.get(relation)
        since = self._recovered_ns(relation, now_ns) if seen is None else seen.until_ns
        if seen is not None:
            counted = self._recent(relation, seen.until_ns)
            gained = [second for second, rows in counted.items() if rows != seen.recent.get(second)]
            since = min([since, *(second * SECOND_NS - 1 for second in gained)])
        newest = self._newest(NEWS.format(relation=relation), {"since": since})
        mark = seen.until_ns if seen else since
        cut = self._newest(CUT.format(relation=relation), {"mark": mark, "most": PASS_ROWS})
        return _Unread(relation, since, mark, newest, cut)

    def _news(self, unread: "_Unread", cut: int | None, now_ns: int) -> News:
        newest, mark, since = max(unread.newest or 0, unread.mark), unread.mark, unread.since
        until = newest if cut is None else max(mark, min(newest, cut))
        more, recent = newest > until, self._recent(unread.relation, until)
        if since <= now_ns:
            return News(since, until, recent, more=more)
        elapsed_ns = round((self._reading_at_s - self._seen_at_s) * SECOND_NS)
        back = max(1, now_ns - elapsed_ns - BACK_MARGIN_NS)
        return News(since, until, recent, back, now_ns, more)

    def _recent(self, relation: str, until_ns: int) -> dict[int, int]:
        bounds = {"low": until_ns - LATE_COMMIT_NS, "until": until_ns, "second": SECOND_NS}
        counted = self._store.query(RECENT.format(relation=relation), bounds)
        return dict(zip(counted["second"].to_pylist(), counted["rows"].to_pylist(), strict=True))

    def _recovered_ns(self, relation: str, now_ns: int) -> int:
        """Where to begin after a start: safely before the mark that the last pass left.

        Files of releases that left none: before the newest settled bucket that is not ahead of the clock. Senders may
        be up to a day ahead, and this machine's clock may have been.
        """
        reached = self._marks.get(relation)
        if reached is None and not self._marks:
            reached = self._newest(NEWEST_BUCKET, {"now": now_ns})
        return 0 if reached is None else min(reached, now_ns) - LATE_COMMIT_NS

    def _newest(self, sql: str, parameters: dict[str, Any]) -> int | None:
        found: int | None = self._store.query(sql, parameters)["newest"][0].as_py()
        return found

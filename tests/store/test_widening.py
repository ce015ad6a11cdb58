"""Statements that repeat columns step by step are refused before they are planned, and others are not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conventions.errors import QueryRefused
from store.writing import Store
from tests.store.store_samples import NOON_NS, requests


@pytest.fixture
def seeded(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        store.replace_buckets({"requests": requests(NOON_NS, 5)}, {"requests": [NOON_NS]})
        yield store


@pytest.mark.parametrize(
    "step",
    [
        "SELECT {'a': s, 'b': s} AS s FROM @",
        "SELECT coalesce((s, s), NULL) AS s FROM @",
        "SELECT MAP {s: s} AS s FROM @",
        "SELECT *, * FROM @",
        "SELECT * FROM @ a, @ b",
        "SELECT a.*, b.* FROM @ a JOIN @ b ON true",
        "SELECT @ AS p, @ AS q FROM @",
        "SELECT (SELECT @ FROM @) AS p, (SELECT @ FROM @) AS q",
        'FROM @ UNION ALL BY NAME SELECT COLUMNS(*) AS "z\\0" FROM @',
        "SELECT unnest([{'a': s, 'b': s}]) AS s FROM @",
    ],
)
def test_a_short_statement_that_grows_wide_is_refused_before_it_is_planned(seeded: Store, step: str) -> None:
    """Planning is neither interrupted nor counted: 26 such steps took 5.6 GB and 37 s of a limit of 3 s."""

    def chain(length: int) -> str:
        steps = [f"a{number + 1} AS ({step.replace('@', f'a{number}')})" for number in range(length)]
        return f"WITH a0 AS (SELECT 1 AS s), {', '.join(steps)} SELECT count(*) AS n FROM a{length}"

    with pytest.raises(QueryRefused, match="repeats columns"):
        seeded.query_untrusted(chain(26))
    assert seeded.query_untrusted(chain(3)).num_rows == 1


def test_a_column_may_be_used_as_often_as_one_likes(seeded: Store) -> None:
    counted = ", ".join(f"sum(e2e_s) FILTER (WHERE e2e_s > {number}) AS s{number}" for number in range(50))
    rows = f"SELECT tenant, {counted} FROM requests WHERE e2e_s > 0 AND e2e_s < 9 GROUP BY tenant"
    assert seeded.query_untrusted(f"WITH a AS ({rows}), b AS (SELECT a.*, tenant AS t FROM a) FROM b").num_rows == 1

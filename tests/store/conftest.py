from collections.abc import Iterator
from pathlib import Path

import pytest

from store.writing import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as opened:
        yield opened

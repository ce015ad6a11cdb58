"""A disk with too little room: nothing is acknowledged, the reason is said, queries are answered."""

from pathlib import Path

from tests.collector.payloads import span, traces
from tests.collector.running_collector import Start
from tests.collector.test_starting import refusal


def test_a_full_disk_is_answered_with_503_and_reading_goes_on(start: Start, tmp_path: Path) -> None:
    roomy = start()
    assert roomy.post("/v1/traces", traces([span(1)])).status_code == 200
    assert roomy.stop() == 0
    full = start("min_free_mb = 1_000_000_000")
    refused = full.post("/v1/traces", traces([span(2)]))
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
    assert b"make room" in refused.content
    assert full.query("SELECT count(*) FROM spans") == [[1]]
    assert full.http.get("/health").status_code == 200


def test_a_data_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refusal(tmp_path, f'[collector]\nport = 0\ndata = "{tmp_path}/file/data"')
    assert "cannot make the data folder" in error
    assert "Traceback" not in error

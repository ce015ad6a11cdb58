import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conventions.errors import TraceFormatError
from loadgen import traces
from loadgen.traces import TraceRow

OWN = Path(__file__).parent / "data"
REAL = Path(__file__).parents[3] / "shared" / "data"
REAL_TRACES = {"AzureLLMInferenceTrace_code.csv": 8_819, "mooncake_conversation_trace.jsonl": 12_031}
PRESENT = {name: count for name, count in REAL_TRACES.items() if (REAL / name).exists()}


def test_an_azure_trace_gives_times_from_zero_and_lengths() -> None:
    assert traces.read(OWN / "azure.csv") == (
        TraceRow(0.0, 480, 10),
        TraceRow(1.0, 30, 8),
        TraceRow(1.0, 110, 27),
        TraceRow(3.5, 804, 60),
    )


def test_a_mooncake_trace_gives_seconds_lengths_and_blocks() -> None:
    rows = traces.read(OWN / "mooncake.jsonl")
    assert rows[1] == TraceRow(0.0, 1500, 49, (0, 1, 3))
    assert [row.at_s for row in rows] == [0, 0, 3, 3, 6]


def test_real_traces_are_read_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        for name in REAL_TRACES.keys() - PRESENT.keys():
            print(f"\nleft out: {REAL / name} is not on this machine")
    for name, count in PRESENT.items():
        rows = traces.read(REAL / name)
        assert len(rows) == count
        assert 3_400 < rows[-1].at_s < 3_600
        spread_rows = traces.spread(rows, seed=1)
        assert all(a.at_s <= b.at_s for a, b in itertools.pairwise(spread_rows))


AZURE_HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.97,480,10\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "time,in,out\n", ":1: expected the columns TIMESTAMP"),
        ("a.csv", AZURE_HEAD + "2023-11-16 18:17:04,480\n", ":3: expected 3 cells, got 2"),
        ("a.csv", AZURE_HEAD + "yesterday,480,10\n", ":3: TIMESTAMP 'yesterday' is no time"),
        ("a.csv", AZURE_HEAD + "2023-11-16 18:17:04,many,10\n", ":3: ContextTokens is 'many'"),
        ("a.csv", AZURE_HEAD + "2023-11-16 18:17:04,480,0\n", ":3: GeneratedTokens is 0"),
        ("a.csv", AZURE_HEAD + "2023-11-16 18:17:01,480,9\n", ":3: time runs backwards by 2.970 s"),
        ("a.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n", "no requests in the file"),
        ("a.jsonl", '{"timestamp": 0', ":1: not JSON"),
        ("a.jsonl", "[1]", ":1: expected an object, got list"),
        ("a.jsonl", '{"timestamp": -1, "input_length": 5, "output_length": 5}', ":1: timestamp -1"),
        ("a.jsonl", '{"timestamp": 0, "output_length": 5}', ":1: input_length is None"),
        ("a.jsonl", '{"timestamp": 0, "input_length": 5.5, "output_length": 5}', ":1: input_length is 5.5"),
        ("a.jsonl", '{"timestamp": 0, "input_length": 5, "output_length": 5, "hash_ids": ["x"]}', ":1: hash_ids"),
        ("a.parquet", "", "unknown trace format '.parquet'"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TraceFormatError) as raised:
        traces.read(tmp_path / name)
    assert str(raised.value).startswith(str(tmp_path / name))
    assert message in str(raised.value)


def test_a_missing_trace_is_a_trace_error() -> None:
    with pytest.raises(TraceFormatError, match=r"nowhere\.csv"):
        traces.read(Path("nowhere.csv"))


def test_caps_say_what_they_cut() -> None:
    rows, cut = traces.capped(traces.read(OWN / "azure.csv"), max_input=100, max_output=20)
    assert [(row.input_tokens, row.output_tokens) for row in rows] == [(100, 10), (30, 8), (100, 20), (100, 20)]
    assert cut == traces.Cut(requests=3, input_tokens=380 + 10 + 704, output_tokens=7 + 40)


def test_a_window_starts_at_zero_again_and_ends_before_its_end() -> None:
    rows = traces.window(traces.read(OWN / "azure.csv"), start_s=1.0, length_s=2.5, limit=None)
    assert [(row.at_s, row.input_tokens) for row in rows] == [(0.0, 30), (0.0, 110)]


ROWS = st.lists(st.integers(0, 20), min_size=1, max_size=60).map(
    lambda stamps: tuple(TraceRow(3.0 * stamp, 1, 1) for stamp in sorted(stamps))
)


@given(ROWS, st.integers(0, 1000))
def test_spreading_keeps_order_count_and_quantum(rows: traces.Rows, seed: int) -> None:
    moved = traces.spread(rows, seed)
    assert len(moved) == len(rows)
    assert all(a.at_s <= b.at_s for a, b in itertools.pairwise(moved))
    stamps = sorted({row.at_s for row in rows})
    following = dict(itertools.pairwise(stamps))
    for before, after in zip(rows, moved, strict=True):
        assert before.at_s <= after.at_s
        assert after.at_s < following.get(before.at_s, float("inf"))


@given(ROWS, st.floats(0.01, 10))
def test_scaling_multiplies_every_time(rows: traces.Rows, factor: float) -> None:
    assert [row.at_s for row in traces.scaled(rows, factor)] == [row.at_s * factor for row in rows]

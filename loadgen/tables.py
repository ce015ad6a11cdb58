"""What a run looks like on a terminal."""

from rich.markup import escape
from rich.table import Table

from loadgen.summary import Quantiles, RunResult


def result_table(result: RunResult) -> Table:
    """The figures of one run; latencies of successful requests only."""
    arm = f" · arm {result.arm}" if result.arm else ""
    table = Table(
        title=escape(f"{result.scenario}{arm} · run {result.run_id}"), caption=escape("\n".join(result.notes)) or None
    )
    table.caption_justify = "left"
    for name in ("", "p50", "p95", "p99", "n"):
        table.add_column(name, justify="left" if not name else "right")
    for title, values in (
        ("TTFT from sending", result.ttft_s),
        ("TTFT from schedule", result.ttft_scheduled_s),
        ("E2E from sending", result.e2e_s),
        ("E2E from schedule", result.e2e_scheduled_s),
        ("TPOT", result.tpot_s),
        ("dispatch lag", result.lag_s),
    ):
        table.add_row(title, *_cells(values))
    table.add_section()
    for name, value in _counts(result).items():
        table.add_row(name, value)
    return table


def milliseconds(seconds: float | None) -> str:
    """``12.3 ms``, or a dash for a value that is not known."""
    return "–" if seconds is None else f"{seconds * 1e3:,.1f} ms"


def share(value: float | None) -> str:
    """``91 %``, or a dash for a value that is not known."""
    return "–" if value is None else f"{value * 100:.0f} %"


def _cells(values: Quantiles) -> tuple[str, str, str, str]:
    return milliseconds(values.p50), milliseconds(values.p95), milliseconds(values.p99), f"{values.count:,}"


def _counts(result: RunResult) -> dict[str, str]:
    per_s = result.output_tokens_per_s
    return {
        "sent / ok": f"{result.sent:,} / {result.ok:,}",
        **({"not sent": f"{result.not_sent:,}"} if result.not_sent else {}),
        **{f"error {kind}": f"{count:,}" for kind, count in sorted(result.errors.items())},
        "tokens in / out": f"{result.input_tokens:,} / {result.output_tokens:,}",
        "output tokens/s": "–" if per_s is None else f"{per_s:,.1f}",
        "exact match": f"{share(result.exact_match)} of {result.scored:,}",
    }

"""Findings as text for people: what fires first, with the numbers and with who burned the budget."""

from collections.abc import Sequence
from typing import Final

from analytics.alerting.evaluation import Finding, State
from analytics.budgets.spending import Contributor

_ORDER: Final = (State.FIRING, State.INSUFFICIENT_DATA, State.OK)
_LABELS: Final = {State.FIRING: "FIRING", State.INSUFFICIENT_DATA: "CANNOT TELL", State.OK: "ok"}


def summary_text(findings: Sequence[Finding]) -> str:
    """One line per rule, firing ones first, each followed by what burned it."""
    if not findings:
        return "no rules: add [[budgets]] to the configuration"
    ordered = sorted(findings, key=lambda finding: _ORDER.index(finding.state))
    return "\n".join(line for finding in ordered for line in _lines(finding))


def _lines(finding: Finding) -> list[str]:
    rule = finding.rule
    lines = [
        f"{_LABELS[finding.state]:<11} {rule.name} ({rule.severity}): budget {rule.budget} burns at "
        f"{_times(finding.long_burn)} its pace over {rule.long} and {_times(finding.short_burn)} over {rule.short}; "
        f"fires at {rule.factor:g}x over both{_why_not_known(finding)}"
    ]
    for dimension in ("tenant", "model"):
        if found := [one for one in finding.contributors if one.dimension == dimension]:
            lines.append(f"{'':<11} by {dimension}: {', '.join(_share(one) for one in found)}")
    return lines


def _why_not_known(finding: Finding) -> str:
    if finding.state is not State.INSUFFICIENT_DATA:
        return ""
    return f" (too little data: {_seen(finding)} in {finding.rule.long}, at least {finding.rule.min_events} needed)"


def _seen(finding: Finding) -> str:
    used = finding.long_spending
    if finding.budget.is_errors and used.spent is not None:
        return f"{used.spent:g} failures in {used.events} requests"
    return f"{used.events} events"


def _share(one: Contributor) -> str:
    return f"{one.value} {one.share:.0%} ({one.spent:,.0f})"


def _times(rate: float | None) -> str:
    return "?" if rate is None else f"{rate:.3g}x"

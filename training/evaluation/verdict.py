"""What the figures say about a deployment: what quantisation and company bought, and whether it is right-sized.

Right-sized is what costs the fewest joules per successful request among the variants whose share of exact answers
reaches the goal. The point estimate decides; where the interval reaches below the goal the verdict says so.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from conventions import settings

_ROUNDING: Final = 1e-9  # 0.98 − 0.99 is a little less than −0.01


@dataclass(frozen=True, slots=True)
class Goal:
    """Share of exact answers over the traffic mix, and where the number comes from."""

    exact: float
    source: str


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Share of exact answers that a saving may cost, and where the number comes from."""

    max_loss: float
    source: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """The file ``deployment.toml``, or one in its place."""

    deployed: str
    goal: Goal
    quantisation: Tolerance


def load(path: Path | None = None) -> Deployment:
    """The shipped file, or the one at ``path``. Raises ``SettingsError``."""
    if path is not None:
        return settings.build(Deployment, settings.read(path), str(path))
    text = resources.files("training.evaluation").joinpath("deployment.toml").read_text(encoding="utf-8")
    return settings.build(Deployment, tomllib.loads(text), "deployment.toml")


Row = Mapping[str, Any]
"""One variant's figures, as in the JSON of the sheet."""


def trade_off(row: Row, against: Row, disagreement: Row, tolerance: Tolerance) -> dict[str, Any]:
    """What ``row`` costs and saves beside ``against``; ``worth_it``: joules fall and no more is lost than allowed.

    None where that is not known: no joules, or rounds that do not agree whether they fall.
    """
    exact = row["exact"]["mix"]["share"] - against["exact"]["mix"]["share"]
    joules = _change(row["energy"]["per_request_j"], against["energy"]["per_request_j"])
    pairs = zip(row["per_request_j_by_round"], against["per_request_j_by_round"], strict=True)
    by_round = [change for one, other in pairs if (change := _change(one, other)) is not None]
    return {
        "variant": row["name"],
        "against": against["name"],
        "exact": exact,
        **disagreement,
        "joules": joules,
        "joules_by_round": by_round,
        "e2e_p50": _change(row["latency"]["e2e_p50_s"], against["latency"]["e2e_p50_s"]),
        "bytes": _change(row["weight_bytes"], against["weight_bytes"]),
        "worth_it": _is_worth_it(exact >= -tolerance.max_loss - _ROUNDING, by_round),
    }


def _is_worth_it(keeps_answers: bool, by_round: Sequence[float]) -> bool | None:
    if not by_round:
        return None
    falls = {change < 0 for change in by_round}
    if not keeps_answers or falls == {False}:
        return False
    return True if falls == {True} else None


def judge(rows: Sequence[Row], deployment: Deployment) -> dict[str, Any]:
    """Which variant is right-sized, and whether it is the deployed one; ``right_sized`` None: cannot be told."""
    priced = [row for row in rows if row["energy"]["per_request_j"] is not None]
    able = sorted((row for row in priced if _reaches(row, deployment.goal)), key=_price)
    deployed = next((row for row in priced if row["name"] == deployment.deployed), None)
    chosen = able[0] if able else None
    return {
        "deployed": deployment.deployed,
        "chosen": chosen and chosen["name"],
        "right_sized": None if deployed is None else chosen is not None and chosen["name"] == deployed["name"],
        "reason": _reason(priced, able, deployed, deployment),
    }


def _reason(priced: Sequence[Row], able: Sequence[Row], deployed: Row | None, deployment: Deployment) -> str:
    goal = f"the goal of {deployment.goal.exact:.1%}"
    if not priced:
        return "no variant has joules: is a probe running? `tokenjoule doctor` says"
    if not able:
        best = max(priced, key=lambda row: row["exact"]["mix"]["share"])
        return f"no variant reaches {goal}; the best is {_told(best)}"
    said = [f"the cheapest of {len(able)} that reach {goal} is {_told(able[0])}"]
    if agreed := _rounds_won(able):
        said.append(agreed)
    if able[0]["exact"]["mix"]["low"] < deployment.goal.exact:
        said.append("its interval reaches below the goal")
    if deployed is None:
        said.append(f"{deployment.deployed}, which is deployed, was not run or has no joules")
    elif deployed["name"] == able[0]["name"]:
        said.append("it is the one deployed")
    else:
        reaches = "reaches it too" if _reaches(deployed, deployment.goal) else "does not reach it"
        said.append(f"deployed is {_told(deployed)}, which {reaches}")
    return "; ".join(said)


def _rounds_won(able: Sequence[Row]) -> str | None:
    """In how many rounds the first was the cheapest; None with one round or nobody to compare."""
    by_round = list(zip(*(row["per_request_j_by_round"] for row in able), strict=True))
    priced = [costs for costs in by_round if None not in costs]
    if len(able) < 2 or len(priced) < 2:
        return None
    return f"it was in {sum(costs[0] == min(costs) for costs in priced)} of {len(priced)} rounds"


def _told(row: Row) -> str:
    exact, joules = row["exact"]["mix"], row["energy"]["per_request_j"]
    return (
        f"{row['name']} ({exact['share']:.1%} exact, {exact['low']:.1%} to {exact['high']:.1%}, "
        f"{1000 * joules:.3g} mJ per request)"
    )


def _reaches(row: Row, goal: Goal) -> bool:
    return bool(row["exact"]["mix"]["share"] >= goal.exact)


def _price(row: Row) -> float:
    return float(row["energy"]["per_request_j"])


def _change(value: float | None, before: float | None) -> float | None:
    return value / before - 1.0 if value is not None and before else None

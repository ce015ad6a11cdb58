"""Carbon and cost of a window: each number with its components, its factor and what is assumed or estimated in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from analytics import metric, together
from analytics.idling import SEPARATE, Idling
from analytics.metric import Filters, Queries, Window
from analytics.reports.quantities import quantity
from analytics.together import Question

NAMES: Final = (
    *("co2e_per_1k_successful_tokens", "sci_per_token", "carbon_intensity"),
    *("cost_per_request", "cost_per_million_tokens"),
)
COMPONENTS: Final = {
    "co2e_g": ("operational", "g"),
    "co2e_embodied_g": ("embodied", "g"),
    "cost_energy": ("energy", "{currency}"),
    "cost_device": ("device time", "{currency}"),
    "cost_tokens": ("tokens", "{currency}"),
}


@dataclass(frozen=True, slots=True)
class Charge:
    """One metric of carbon or cost without groups; ``value`` is None where it is not known.

    ``parts`` are the sums of the window behind it, as text; ``label`` names the factor (zone, year, source) and its
    basis; ``estimated`` holds if joules or factor are not readings.
    """

    name: str
    title: str
    value: float | None
    unit: str
    parts: str
    label: str
    estimated: bool

    @property
    def text(self) -> str:
        """The value with its unit, and ``[estimated]`` where it is."""
        marked = " [estimated]" if self.estimated and self.value is not None else ""
        return f"{quantity(self.value, self.unit)}{marked}"


def charges(reader: Queries, window: Window, filters: Filters | None = None, idling: Idling = SEPARATE) -> list[Charge]:
    """What is known of carbon and cost in ``window``; nothing where neither is configured or reported."""
    return told(together.answers(reader, questions(window, filters or Filters(), idling)))


def questions(window: Window, filters: Filters, idling: Idling = SEPARATE) -> list[Question]:
    """What ``charges`` asks, for ``told``."""
    return [Question(name, window, filters=filters, idling=idling) for name in NAMES]


def told(answers: Sequence[pa.Table]) -> list[Charge]:
    """The charges from the answers to ``questions``."""
    found = [_charge(name, row) for name, rows in zip(NAMES, answers, strict=True) for row in rows.to_pylist()]
    return [one for one in found if one.value is not None or one.parts]


def _charge(name: str, row: dict[str, Any]) -> Charge:
    about = metric.load(name)
    currency = row.get("currency") or "?"
    parts = [
        f"{words} {quantity(row[column], unit.replace('{currency}', currency))}"
        for column, (words, unit) in COMPONENTS.items()
        if row.get(column) is not None
    ]
    label = ", ".join(part for part in (row.get("factor"), row.get("basis")) if part)
    doubtful = row.get("quality") in ("estimated", "simulated") or bool(row.get("factor_estimated"))
    estimated = doubtful or bool(row.get("estimated"))
    unit = about.unit.replace("{currency}", currency)
    return Charge(name, about.title, row["value"], unit, " + ".join(parts), label, estimated)

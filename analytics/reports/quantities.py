"""Numbers as people read them: three significant digits, an SI prefix where it helps, the unit always beside."""

import math
from typing import Final

UNKNOWN: Final = "–"

_PREFIXES: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
_WORDS: Final = {
    "{token}/s": "tok/s",
    "{request}/s": "req/s",
    "{sample}/h": "samples/h",
    "g/k{token}": "g/1000 tokens",
    "g/kW.h": "g/kWh",
}
_SCALED: Final = ("s", "g", "g/{token}", "g/k{token}")


def quantity(value: float | None, unit: str) -> str:
    """``value`` in the metric unit ``unit`` as text: ``12.3 mJ/token``, ``240 ms``, ``8.1 %``; a dash if unknown."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if unit == "1":
        return share(value)
    if unit == "s" and abs(value) >= 1.0:
        return f"{digits(value)} s"
    words = _WORDS.get(unit, unit.replace("{operation}", "FLOP").replace("{", "").replace("}", ""))
    scaled = unit in _SCALED or unit.split("/")[0] in ("J", "{operation}")
    return _prefixed(value, words) if scaled else f"{digits(value)} {words}"


def share(value: float | None) -> str:
    """A part of one as percent."""
    return UNKNOWN if value is None else f"{digits(100.0 * value)} %"


def difference(value: float | None, before: float | None, unit: str) -> str:
    """Change against ``before``: percentage points of a share, else percent; a dash where either is not known."""
    if value is None or before is None or (unit != "1" and before == 0):
        return UNKNOWN
    change = value - before if unit == "1" else value / before - 1.0
    return f"{100.0 * change:+.1f} {'pp' if unit == '1' else '%'}".replace("-", "−")


def count(value: float | None) -> str:
    """A count with thin thousands separators."""
    return UNKNOWN if value is None else f"{value:,.0f}".replace(",", " ")


def times(value: float | None) -> str:
    """A factor, as burn rates are read."""
    return UNKNOWN if value is None else f"{digits(value)}×"


def digits(value: float) -> str:
    """Three significant digits without an exponent; whole numbers from 1000 on."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}".replace(",", " ")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _prefixed(value: float, unit: str) -> str:
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in _PREFIXES:
        if abs(value) >= factor * 0.9995:
            return f"{digits(value / factor)} {prefix}{unit}"
    return f"{value:.2e} {unit}"

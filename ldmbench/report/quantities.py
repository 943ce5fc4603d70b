"""Quantities: how each score and measure is called, scaled, written and judged."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ldmbench.catalog.extractors import EMBEDDED
from ldmbench.catalog.measures import MEASURES
from ldmbench.catalog.metrics import SCORES
from ldmbench.catalog.rows import GROUPS, Quantity
from ldmbench.schema.signature import Signature

__all__ = [
    "GROUPS",
    "QUANTITIES",
    "Quantity",
    "Scale",
    "embedded_evaluators",
    "number",
    "quantity_of",
    "scale_of",
    "with_interval",
]

QUANTITIES: dict[str, Quantity] = {
    row.name: row
    for row in sorted(
        (*SCORES.values(), *MEASURES.values()), key=lambda row: list(GROUPS).index(row.group)
    )
}
"""Every quantity the program measures; the order is the order of columns."""

_PREFIXES = {9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ"}
_FLOP_PREFIXES = {21: "Z", 18: "E", 15: "P", 12: "T"} | _PREFIXES
_BYTES = {3: "GiB", 2: "MiB", 1: "KiB", 0: "B"}
_PREFIXED_UNITS = ("s", "J", "FLOP", "1", "")


@dataclass(frozen=True)
class Scale:
    """Stored values are divided by `divisor` and shown in `unit`."""

    divisor: float
    unit: str


def quantity_of(name: str) -> Quantity:
    """Return the quantity of this name; an unknown name is shown as it is, without a best."""
    return QUANTITIES.get(name) or Quantity(name=name, label=name)


def scale_of(values: Iterable[float], unit: str) -> Scale:
    """Return one scale for a column, so that its largest value has at most four digits."""
    top = max((abs(v) for v in values), default=0.0)
    if unit == "bytes":
        power = min(3, int(math.log(top, 1024))) if top >= 1 else 0
        return Scale(1024.0**power, _BYTES[power])
    if unit not in _PREFIXED_UNITS or top == 0 or (unit in ("1", "") and top < 1e5):
        return Scale(1.0, "" if unit == "1" else unit)
    prefixes = _FLOP_PREFIXES if unit == "FLOP" else _PREFIXES
    if unit == "s":
        top /= 10  # up to ten seconds read well in ms
    power = next((p for p in prefixes if top >= 10.0**p), min(prefixes))
    if unit in ("s", "J"):
        power = min(power, 0)
    return Scale(10.0**power, prefixes[power] + ("" if unit == "1" else unit))


def number(value: float, *, digits: int = 4) -> str:
    """Write a number with `digits` significant digits and no exponent where that reads well.

    >>> number(12.34567), number(0.000123456), number(1234567.0), number(200)
    ('12.35', '0.0001235', '1234567', '200')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -5 or magnitude > 9:
        return f"{value:.{digits - 1}e}"
    if float(value).is_integer():
        return f"{value:.0f}"
    text = f"{value:.{max(0, digits - 1 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def with_interval(value: float, low: float | None, high: float | None) -> tuple[str, str]:
    """Write a value and half the width of its interval to the same decimal; '' without one.

    >>> with_interval(12.3456, 12.1, 12.6), with_interval(12.3456, None, None)
    (('12.35', '0.25'), ('12.35', ''))
    """
    if low is None or high is None:
        return number(value), ""
    half = float(f"{(high - low) / 2:.1e}")  # two digits, so that 0.09999 counts as 0.10
    if not math.isfinite(half) or half < 0:
        return number(value), ""
    if half == 0:
        return number(value), "0"
    decimals = max(0, min(8, 1 - math.floor(math.log10(half))))
    return f"{value:.{decimals}f}", f"{half:.{decimals}f}"


def embedded_evaluators(signature: str) -> tuple[str, ...]:
    """Return the embedded evaluators a signature names: their FID is not Inception FID."""
    values = (v.partition("@")[0] for v in Signature.parse(signature).fields.values())
    return tuple(sorted({v for v in values if v in EMBEDDED}))

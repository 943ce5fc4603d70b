"""Flat forms of the records for other programs: CSV and JSON with the same columns."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ldmbench.report.cells import series
from ldmbench.report.tables import Protocols, score_key, variants
from ldmbench.schema.record import Measure, Record, Score

if TYPE_CHECKING:
    import pandas

__all__ = ["csv_text", "frame", "json_text"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that spreadsheets would compute (OWASP, CSV injection)."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def frame(records: Sequence[Record]) -> pandas.DataFrame:
    """Return one row per cell: identity, axes, then per quantity its value, interval and origin.

    A score `fid` gives the columns fid, fid_low, fid_high, fid_n, fid_signature; a measure
    `throughput` gives throughput, throughput_low, throughput_high, throughput_n, throughput_unit
    and throughput_device. Values are in the units of the records, not in those of the pages.
    """
    import pandas as pd

    return pd.DataFrame(rows(records))


def rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the rows of `frame` as plain dictionaries; all have the same keys."""
    names = variants(records)
    made = [_row(record, names) for record in records]
    keys = dict.fromkeys(key for row in made for key in row)
    return [{key: row.get(key) for key in keys} for row in made]


def csv_text(records: Sequence[Record]) -> str:
    """Return CSV; `pandas.read_csv` gives back the numbers bit for bit.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, in headings
    as in cells; a text that is a number, such as -5, stays as it is. JSON keeps every text.
    """
    table = frame(records)
    texts = table.select_dtypes(exclude="number").columns
    table[texts] = table[texts].map(_inert)
    table.columns = [_inert(name) for name in table.columns]
    return str(table.to_csv(index=False, lineterminator="\n"))


def _inert(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(FORMULA) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def json_text(records: Sequence[Record]) -> str:
    """Return a JSON array of rows; `pandas.read_json(precise_float=True)` gives the same bits."""
    return json.dumps(rows(records), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row(record: Record, names: Protocols) -> dict[str, Any]:
    cell = record.cell
    row: dict[str, Any] = {"run": record.run, "cell": cell.id, "status": record.status}
    row |= {"reason": record.reason, "series": series(cell)}
    fields = cell.model_dump(exclude={"id", "axes", "stages"})
    row |= fields | {f"axes.{k}": _scalar(v) for k, v in cell.axes.items()}
    for score in record.scores:
        row |= _score(score_key(score, names), score)
    for measure in record.measures:
        row |= _measure(measure)
    return row | {"stale": " ".join(record.stale)}


def _scalar(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else json.dumps(value)


def _score(key: str, score: Score) -> dict[str, Any]:
    return {
        key: score.value,
        f"{key}_low": score.low,
        f"{key}_high": score.high,
        f"{key}_n": score.n,
        f"{key}_signature": score.signature,
    }


def _measure(measure: Measure) -> dict[str, Any]:
    name = measure.name
    return {
        name: measure.value,
        f"{name}_low": measure.low,
        f"{name}_high": measure.high,
        f"{name}_n": measure.n,
        f"{name}_unit": measure.unit,
        f"{name}_device": measure.device,
    }

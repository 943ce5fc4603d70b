"""Flat forms of the records for other programs: CSV and JSON with the same columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ldmbench.records.compare import Replicas
from ldmbench.records.spread import Bar, Spread
from ldmbench.report.cells import series
from ldmbench.report.seeds import pooled
from ldmbench.report.tables import Protocols, build, score_key, unmade, variants, without
from ldmbench.schema.record import Measure, Record, Score

if TYPE_CHECKING:
    import pandas

__all__ = ["csv_text", "frame", "json_text"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a text begins that spreadsheets would compute (OWASP, CSV injection)."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def frame(records: Sequence[Record], replicates: Replicas = without) -> pandas.DataFrame:
    """Return one row per cell: identity, axes, then per quantity its value, interval and origin.

    A score `fid` gives the columns fid, fid_low, fid_high, fid_n, fid_signature; a measure
    `throughput` gives throughput, throughput_low, throughput_high, throughput_n, throughput_unit
    and throughput_device. Values are in the units of the records, not in those of the pages.

    Where cells differ in seeds alone, each has the columns fid_over_seeds (the mean of all of
    them), fid_over_seeds_images_low and _high, and the same for _sample, _training and _both;
    fid_over_seeds_sd_training with _low and _high, fid_over_seeds_sd_sampling,
    fid_over_seeds_training_share, fid_over_seeds_trainings and fid_over_seeds_sample_seeds.
    """
    import pandas as pd

    return pd.DataFrame(rows(records, replicates))


def rows(records: Sequence[Record], replicates: Replicas = without) -> list[dict[str, Any]]:
    """Return the rows of `frame` as plain dictionaries; all have the same keys."""
    names = variants(records)
    over = _over_seeds(records, replicates)
    made = [_row(record, names) | over.get(record.cell.id, {}) for record in records]
    keys = dict.fromkeys(key for row in made for key in row)
    return [{key: row.get(key) for key in keys} for row in made]


def csv_text(records: Sequence[Record], replicates: Replicas = without) -> str:
    """Return CSV; `pandas.read_csv` gives back the numbers bit for bit.

    A text that a spreadsheet would take for a formula gets an apostrophe before it, in headings
    as in cells; a text that is a number, such as -5, stays as it is. JSON keeps every text.
    """
    table = frame(records, replicates)
    texts = table.select_dtypes(exclude="number").columns
    table[texts] = table[texts].map(_inert)
    table.columns = [_inert(name) for name in table.columns]
    return str(table.to_csv(index=False, lineterminator="\n"))


def _inert(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(FORMULA) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"


def json_text(records: Sequence[Record], replicates: Replicas = without) -> str:
    """Return a JSON array of rows; `pandas.read_json(precise_float=True)` gives the same bits."""
    made = rows(records, replicates)
    return json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row(record: Record, names: Protocols) -> dict[str, Any]:
    cell = record.cell
    row: dict[str, Any] = {"run": record.run, "cell": cell.id, "status": record.status}
    row |= {"reason": record.reason, "series": series(cell)}
    fields = cell.model_dump(exclude={"id", "axes", "stages"})
    row |= fields | {f"axes.{k}": _scalar(v) for k, v in cell.axes.items()}
    elsewhere = {name for name, _, _ in names}
    for score in record.scores:
        if not (unmade(score) and score.name in elsewhere):  # its columns are there, and empty
            row |= _score(score_key(score, names), score)
    for measure in record.measures:
        row |= _measure(measure)
    if record.choice is not None:
        shown = record.choice.model_dump(include={"axis", "value", "chosen", "metric", "rule"})
        row |= {f"choice.{name}": value for name, value in shown.items()}
        row["choice.seeds"] = " ".join(map(str, record.choice.seeds))
    return row | {"stale": " ".join(record.stale)}


def _scalar(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else json.dumps(value)


def _score(key: str, score: Score) -> dict[str, object]:
    return {
        key: score.value,
        f"{key}_low": score.low,
        f"{key}_high": score.high,
        f"{key}_n": score.n,
        f"{key}_signature": score.signature,
    }


def _measure(measure: Measure) -> dict[str, object]:
    name = measure.name
    return {
        name: measure.value,
        f"{name}_low": measure.low,
        f"{name}_high": measure.high,
        f"{name}_n": measure.n,
        f"{name}_unit": measure.unit,
        f"{name}_device": measure.device,
    }


def _over_seeds(records: Sequence[Record], replicates: Replicas) -> dict[str, dict[str, object]]:
    """Return, by cell, the columns of the cells that differ from it in seeds alone."""
    scored = [record for record in records if not record.cell.chooses]
    over = pooled(replace(build(scored), replicates=replicates))
    found: dict[str, dict[str, Any]] = {}
    for cells, spreads in zip(over.cells, over.spreads, strict=True) if over else ():
        columns: dict[str, Any] = {}
        for key, spread in spreads.items():
            columns |= {f"{key}_over_seeds{end}": value for end, value in _spread(spread)}
        found |= dict.fromkeys(cells, columns)
    return found


def _spread(spread: Spread) -> Iterator[tuple[str, float | None]]:
    def ends(name: str, bar: Bar) -> Iterator[tuple[str, float | None]]:
        yield f"_{name}_low", bar.low
        yield f"_{name}_high", bar.high

    yield "", spread.mean
    yield from ends("images", spread.images)
    yield from ends("sample", spread.sampling)
    yield from ends("training", spread.training)
    yield from ends("both", spread.both)
    yield "_sd_training", spread.sd_training.value
    yield from ends("sd_training", spread.sd_training)
    yield "_sd_sampling", spread.sd_sampling.value
    yield "_training_share", spread.share
    yield "_trainings", spread.trainings
    yield "_sample_seeds", spread.seeds

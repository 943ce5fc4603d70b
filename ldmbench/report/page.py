"""The page: one HTML file that needs no network, from a template, styles, scripts and data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

from ldmbench.report.cells import series, shared_fields
from ldmbench.report.figures import Drawn, draw
from ldmbench.report.findings import findings_of
from ldmbench.report.flat import csv_text
from ldmbench.report.latex import latex
from ldmbench.report.notices import notices_of
from ldmbench.report.points import judged
from ldmbench.report.published import CAUTION, beside
from ldmbench.report.quantities import GROUPS, quantity_of
from ldmbench.report.seeds import BARS, HOW
from ldmbench.report.sheets import Sheets, read_sheets
from ldmbench.report.tables import Table, unmade
from ldmbench.report.texts import BEST, SPREAD, TIED, markdown
from ldmbench.report.theme import config
from ldmbench.report.trends import HEIGHT, WIDTH, trends_of
from ldmbench.report.view import View
from ldmbench.schema.record import Record, Run
from ldmbench.schema.signature import Signature

__all__ = ["page"]


def page(view: View) -> str:
    """Return the report as one HTML text: no request leaves it, names in it are inert."""
    run, records, table = view.run, view.records, view.table
    drawn = draw(run, view.drawn, view.extras)
    sheets = read_sheets(view.extras.pictures, records, folder=view.folder)
    return str(
        _template().render(
            run=run,
            table=table,
            over=view.over,
            over_how=HOW,
            bars_how=BARS,
            chosen=view.chosen,
            best=BEST,
            tied=TIED,
            spread=SPREAD,
            records=records,
            notices=notices_of(run, table),
            findings=findings_of(table),
            drawn=drawn,
            sheets=sheets,
            beside=beside(records, view.extras),
            caution=CAUTION,
            trends=trends_of(view.history),
            box=(WIDTH, HEIGHT),
            shared=shared_fields(records),
            groups=GROUPS,
            series=list(dict.fromkeys(series(r.cell) for r in records)),
            datasets=list(dict.fromkeys(r.cell.dataset for r in records)),
            steps=sorted({r.cell.steps for r in records if r.cell.steps is not None}),
            signatures=_signatures(records),
            fields=_fields(records),
            machines=_distinct(r.machine for r in records),
            versions=_distinct(r.versions for r in records),
            data=_script_json(_data(run, records, table)),
            files=_script_json(_files(view)),
            specs=_script_json(_specs(drawn)),
            images=_script_json(_images(sheets)),
            bundle=_bundle(),
            style=_file("page.css"),
            script=_file("page.js"),
        )
    )


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["moment"] = _moment
    return environment.from_string(_file("page.html"))


def _moment(text: str | None) -> str:
    """Write an ISO 8601 moment to the second, for people."""
    if text is None:
        return "–"
    moment = datetime.fromisoformat(text)
    zone = moment.tzname() or ""
    return f"{moment:%Y-%m-%d %H:%M:%S} {zone}".strip()


def _file(name: str) -> str:
    return resources.files("ldmbench.report").joinpath("templates", name).read_text("utf-8")


def _script_json(value: object) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


@cache
def _bundle() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script, which the page holds once."""
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    script = str(vl_convert.javascript_bundle(vl_version=version))  # type: ignore[call-arg]
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _specs(drawn: Drawn) -> dict[str, Any]:
    figures = {name: figure.chart.to_dict(validate=False) for name, figure in drawn.charts.items()}
    for spec in figures.values():
        spec.pop("config", None)
        spec.pop("$schema", None)
    return {"figures": figures, "config": {mode: config(mode) for mode in ("light", "dark")}}


def _images(sheets: Sheets) -> list[dict[str, Any]]:
    return [asdict(sheet) for sheet in sheets.sheets]


def _data(run: Run, records: Sequence[Record], table: Table) -> dict[str, object]:
    """Return what the dialog on a cell shows."""
    machines = _distinct(r.machine for r in records)
    versions = _distinct(r.versions for r in records)
    return {
        "suite": run.suite,
        "headline": quality.name if (quality := judged(records)) else None,
        "labels": {c.quantity.name: c.quantity.label for c in table.columns},
        "meanings": {c.quantity.name: c.quantity.about for c in table.columns},
        "machines": machines,
        "versions": versions,
        "cells": [
            {
                "id": r.cell.id,
                "status": r.status,
                "reason": r.reason,
                "cell": r.cell.model_dump(exclude={"id", "stages"}),
                "scores": [s.model_dump(exclude_none=True) for s in r.scores],
                "measures": [m.model_dump(exclude_none=True) for m in r.measures],
                "keys": r.keys or r.cell.stages,
                "stale": r.stale,
                "machine": machines.index(r.machine),
                "versions": versions.index(r.versions),
            }
            for r in records
        ],
    }


def _files(view: View) -> dict[str, str]:
    """Return the texts that the page hands out."""
    return {
        "csv": csv_text(view.every, view.replicates),
        "tex": latex(view),
        "md": markdown(view),
    }


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _fields(records: Sequence[Record]) -> list[str]:
    """Return the names of all signature fields after the metric's own name."""
    scores = (score for record in records for score in record.scores if not unmade(score))
    names = dict.fromkeys(
        name for score in scores for name in Signature.parse(score.signature).fields
    )
    return [name for name in names if name != "metric"]


def _signatures(records: Sequence[Record]) -> list[dict[str, object]]:
    """Return one row per signature: its score, how many cells carry it, its fields."""
    counts: dict[str, int] = {}
    for record in records:
        for score in (score for score in record.scores if not unmade(score)):
            counts[score.signature] = counts.get(score.signature, 0) + 1
    return [
        {
            "label": quantity_of(Signature.parse(text).metric).label,
            "cells": count,
            "text": text,
            "fields": Signature.parse(text).fields,
        }
        for text, count in sorted(counts.items())
    ]

"""Baseline files: read, migrate, make from records, write so that a diff can be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ldmbench.canonical import finite_json
from ldmbench.errors import InconclusiveError, InputError, UnlikeError
from ldmbench.gating.commit import Commit
from ldmbench.gating.rules import rules_with
from ldmbench.records.compare import Replicas
from ldmbench.records.runs import write_output
from ldmbench.schema.baseline import AcceptedCell, AcceptedRun, AcceptedScore, Baseline, Rule
from ldmbench.schema.record import Record, Score

__all__ = [
    "accepted_run",
    "dropped",
    "merged",
    "read_baseline",
    "refuse_stale",
    "rounded",
    "suite_of",
    "unpaired",
    "write_baseline",
]

API_VERSION = 2
DIGITS = 8
"""Significant digits of a stored replicate: far below any noise, a quarter of the bytes."""


def _with_names_of_2(data: dict[str, object]) -> dict[str, object]:
    """Return a baseline of version 1 with `doubt` and `watched` under their names of today."""
    rules = data.get("rules")
    if not isinstance(rules, dict):
        return data
    renamed = {"doubt": "yardstick_doubt"}
    changes = {
        measure: {
            renamed.get(field, field): "recorded_only" if value == "watched" else value
            for field, value in change.items()
        }
        if isinstance(change, dict)
        else change
        for measure, change in rules.items()
    }
    return data | {"rules": changes}


MIGRATIONS: Mapping[int, Callable[[dict[str, object]], dict[str, object]]] = {1: _with_names_of_2}
"""From version N to N + 1."""


def suite_of(run: str) -> str:
    """Return the suite in a run id, <suite>-<UTC>-<4 hex>."""
    return run.rsplit("-", 2)[0]


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file of this or an older version.

    Raises:
        InputError: if it is missing, damaged, newer than this program, or has an unknown rule.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such baseline file; write one with `ldmbench accept -o {path}`"
        )
    try:
        data = finite_json(path.read_text(encoding="utf-8"))
        found = Baseline.model_validate(_migrated(data, path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise InputError(f"{path}: {place}: {first['msg']}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise InputError(
            f"{path}: is damaged or not a baseline: {error}; take it from version control, or"
            " accept a run again"
        ) from None
    try:
        rules_with(found.rules)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return found


def _migrated(data: Any, path: Path) -> Any:
    version = data.get("api_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(f"{path}: is no baseline: it has no api_version")
    if version > API_VERSION:
        raise InputError(
            f"{path}: api_version {version} is newer than this ldmbench understands"
            f" ({API_VERSION}); upgrade ldmbench"
        )
    while version < API_VERSION:
        if version not in MIGRATIONS:
            raise InputError(f"{path}: api_version {version} is unknown; accept a run again")
        data, version = MIGRATIONS[version](data), version + 1
        data["api_version"] = version
    return data


def rounded(values: Sequence[float]) -> tuple[float, ...]:
    """Return values to the digits that a baseline keeps."""
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def refuse_stale(records: Sequence[Record]) -> None:
    """Refuse records whose artefacts an older code made.

    Raises:
        InputError: naming the stage kinds and the command that makes them anew.
    """
    kinds = sorted({kind for record in records for kind in record.stale})
    if kinds:
        again = " ".join(f"--fresh {kind}" for kind in kinds)
        raise InputError(
            f"stale: an older code made the {', '.join(kinds)} of this run; compute them again with"
            f" `ldmbench run SUITE {again}`"
        )


def accepted_run(records: Sequence[Record], replicates: Replicas, *, commit: Commit) -> AcceptedRun:
    """Return what a baseline keeps of a run.

    Args:
        records: of one run.
        replicates: where the replicates of a score are found.
        commit: of the working folder.

    Raises:
        InputError: for a stale run.
        InconclusiveError: if a cell failed, or nothing was measured.
    """
    refuse_stale(records)
    failed = [record.cell.id for record in records if record.status == "failed"]
    if failed:
        raise InconclusiveError(
            f"{len(failed)} of {len(records)} cells failed ({failed[0]}); accept a run in which all"
            " are done"
        )
    values = [s.value for r in records for s in r.scores]
    values += [m.value for r in records for m in r.measures]
    if all(value is None for value in values):
        raise InconclusiveError("nothing was measured, so there is nothing to accept")
    return AcceptedRun(
        run=records[0].run,
        accepted=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=commit.digest,
        dirty=commit.dirty,
        machine=records[0].machine,
        versions=records[0].versions,
        cells=tuple(_cell(record, replicates) for record in records),
    )


def _cell(record: Record, replicates: Replicas) -> AcceptedCell:
    return AcceptedCell(
        id=record.cell.id,
        model=record.cell.model,
        dataset=record.cell.dataset,
        scores=tuple(_score(score, replicates) for score in record.scores),
        measures=record.measures,
        keys=record.keys,
    )


def _score(score: Score, replicates: Replicas) -> AcceptedScore:
    values = replicates(score)
    kept = () if values is None else rounded(values.tolist())
    return AcceptedScore(score=score, replicates=kept)


def unpaired(scores: Iterable[Score], rules: Mapping[str, Rule]) -> list[str]:
    """Return the names of those scores that a gate judges by intervals, which pairs make narrow."""
    judged = (
        s.name for s in scores if s.low is not None and rules.get(s.name, Rule()).by == "difference"
    )
    return list(dict.fromkeys(judged))


def dropped(old: Baseline | None, new: Baseline) -> list[AcceptedRun]:
    """Return the accepted runs that a baseline keeps no more."""
    kept = {item.run for item in new.runs}
    return [item for item in old.runs if item.run not in kept] if old else []


def merged(run: AcceptedRun, old: Baseline | None, *, add: bool) -> Baseline:
    """Return a baseline with this run alone, or added to those accepted before; rules stay.

    Raises:
        UnlikeError: if the baseline is of another suite.
    """
    suite = suite_of(run.run)
    if old is None:
        return Baseline(suite=suite, runs=(run,))
    if old.suite != suite:
        raise UnlikeError(
            f"the baseline is of suite '{old.suite}' and the run of '{suite}'; write another file"
        )
    kept = tuple(item for item in old.runs if add and item.run != run.run)
    return old.model_copy(update={"runs": (*kept, run)})


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline: a line per field, and one line per list of numbers."""
    data = baseline.model_dump(mode="json")
    data["rules"] = {
        name: change.model_dump(exclude_none=True) for name, change in baseline.rules.items()
    }
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    # A JSON string holds no line break, so only lists of plain numbers match.
    flat = re.sub(r"\[\n[-+0-9.eE,\n ]+\]", lambda found: re.sub(r"\n *", "", found[0]), text)
    write_output(path, flat + "\n")

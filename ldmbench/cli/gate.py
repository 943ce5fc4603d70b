"""`ldmbench gate`: a run against a baseline; red when quality or speed regressed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click

from ldmbench.cli.options import (
    json_option,
    print_json,
    run_argument,
    say,
    store_option,
    typed,
)
from ldmbench.cli.terminal import fitted, inert, legible
from ldmbench.errors import LdmbenchError
from ldmbench.gating import judge, junit_xml, markdown, read_baseline, terminal
from ldmbench.gating.baseline import unpaired
from ldmbench.gating.rules import rules_with
from ldmbench.gating.verdict import Outcome
from ldmbench.records.runs import write_output
from ldmbench.schema.baseline import Baseline
from ldmbench.session.judged_run import Evidence, evidence


@click.command()
@run_argument
@click.option(
    "--baseline",
    "baseline",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Accepted numbers and rules, as `ldmbench accept` writes them.",
)
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML.")
@click.option(
    "--summary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add a Markdown summary to this file, such as $GITHUB_STEP_SUMMARY.",
)
@click.option(
    "--other-machines",
    "other_machines",
    type=click.Choice(["refuse", "note"]),
    default="refuse",
    show_default=True,
    help="Speeds that were accepted only on other classes of machine: incomparable, or only noted.",
)
@click.option(
    "--noise",
    type=click.Choice(["refuse", "note"]),
    default="refuse",
    show_default=True,
    help="Numbers too noisy to judge: the gate ends with 3, or they are only noted if others pass.",
)
@click.option("--all", "everything", is_flag=True, help="Show what passed, too.")
@store_option
@json_option
def gate(
    run: str | None,
    baseline: Path,
    junit: Path | None,
    summary: Path | None,
    other_machines: str,
    noise: str,
    everything: bool,
    store: Path,
    as_json: bool,
) -> int:
    """Judge a RUN (the last one when unset) against what was accepted.

    Ends with 1 if anything regressed, else 4 if cells failed, else 2 if numbers are unlike or
    stale, else 3 if there are too few samples or too much noise, or nothing was measured, else 0.

    \b
    Examples:
      ldmbench gate --baseline baselines/smoke.json
      ldmbench gate --baseline smoke.json --junit gate.xml --summary gate.md
      ldmbench gate --baseline smoke.json --other-machines note --noise note
      ldmbench gate smoke-20260101 --baseline baselines/smoke.json --all
    """
    try:
        accepted, seen = read_baseline(baseline), evidence(run, store)
        outcome = judge(
            seen.records,
            accepted,
            seen.replicates,
            title=str(baseline),
            note_machines=other_machines == "note",
            noise_passes=noise == "note",
        )
    except (LdmbenchError, OSError) as error:
        refusal = _Refusal.of(error, run, baseline)
        _write(refusal, junit, summary)
        if as_json:
            print_json({**refusal.to_json(), "error": str(error)})
        raise
    outcome = replace(outcome, notes=(*outcome.notes, *_unpaired(seen, accepted)))
    _write(outcome, junit, summary)
    if as_json:
        print_json(outcome.to_json())
        return outcome.exit_code
    click.echo(fitted(legible(terminal(outcome, everything=everything))))
    for note in outcome.notes:
        say(f"note: {inert(note)}")
    if outcome.exit_code == 1:
        named = [run] if run else []
        page = typed("report", *named, store=store)
        accept = typed("accept", *named, "-o", baseline, store=store)
        say(f"next: {page}, or, to accept the change: {accept}{_dropped(accepted)}")
    return outcome.exit_code


@dataclass(frozen=True)
class _Refusal(Outcome):
    """Nothing was judged: what files and programs receive, so that no old file stays."""

    code: int = 2

    @classmethod
    def of(cls, error: LdmbenchError | OSError, run: str | None, baseline: Path) -> _Refusal:
        """Return what is said of an error, which ends the program with its own code."""
        code = error.exit_code if isinstance(error, LdmbenchError) else 4
        return cls(run or "", str(baseline), (), {}, notes=(str(error),), code=code)

    @property
    def exit_code(self) -> int:
        """What the program returns."""
        return self.code

    @property
    def verdict(self) -> str:
        """One word for the whole gate."""
        return "refused"


def _write(outcome: Outcome, junit: Path | None, summary: Path | None) -> None:
    if junit:
        write_output(junit, junit_xml(outcome))
    if summary:
        before = summary.read_text(encoding="utf-8") if summary.exists() else ""
        write_output(summary, before + markdown(outcome))


def _unpaired(seen: Evidence, accepted: Baseline) -> Iterator[str]:
    """Say which scores are judged without pairing them, since replicates are missing."""
    rules = rules_with(accepted.rules)
    cells = [cell for run in accepted.runs for cell in run.cells]
    there = unpaired((s.score for c in cells for s in c.scores if not s.replicates), rules)
    if there:
        yield (
            f"accepted without replicates, so judged by wider intervals: {', '.join(there)};"
            " accept the runs again from their store"
        )
    known = {cell.id for cell in cells}
    scores = [
        score for record in seen.records if record.cell.id in known for score in record.scores
    ]
    here = unpaired((score for score in scores if seen.replicates(score) is None), rules)
    if here:
        yield (
            f"replicates are missing, so judged by wider intervals: {', '.join(here)}; use --store"
            " with their folder, or a run id instead of a file"
        )


def _dropped(accepted: Baseline) -> str:
    """Say what accepting does to a baseline of several runs."""
    if len(accepted.runs) < 2:
        return ""
    return f" (it drops the {len(accepted.runs)} runs accepted before; --add keeps them)"

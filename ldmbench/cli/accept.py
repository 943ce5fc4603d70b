"""`ldmbench accept`: a run becomes the baseline that gates compare against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ldmbench.cli.options import (
    json_option,
    print_json,
    run_argument,
    say,
    store_option,
)
from ldmbench.cli.terminal import fitted, inert, legible
from ldmbench.gating import accepted_run, judge, merged, read_baseline, terminal, write_baseline
from ldmbench.gating.baseline import dropped, unpaired
from ldmbench.gating.commit import commit_of
from ldmbench.gating.match import cells_of, measure_of, score_of
from ldmbench.gating.rules import rules_with
from ldmbench.gating.verdict import Outcome
from ldmbench.schema.baseline import AcceptedRun, Baseline
from ldmbench.session.judged_run import evidence
from ldmbench.words import plural


@click.command()
@run_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The baseline file, such as baselines/smoke.json.",
)
@click.option(
    "--add", is_flag=True, help="Keep the runs accepted before: other train seeds, other machines."
)
@store_option
@json_option
def accept(run: str | None, output: Path, add: bool, store: Path, as_json: bool) -> int:
    """Accept a RUN (the last one when unset) as the baseline, and show what that changes.

    Without --add it takes the place of the runs accepted before; the rules in the file stay.
    Refuses runs that are stale, failed or empty.

    \b
    Examples:
      ldmbench accept -o baselines/smoke.json
      ldmbench accept smoke-20260101 -o baselines/smoke.json --add
    """
    seen = evidence(run, store)
    commit = commit_of(Path.cwd(), besides=output)
    accepted = accepted_run(seen.records, seen.replicates, commit=commit)
    old = read_baseline(output) if output.exists() else None
    made = merged(accepted, old, add=add)
    outcome = judge(seen.records, old, seen.replicates, title=str(output)) if old else None
    write_baseline(output, made)
    if as_json:
        print_json(_as_json(made, old, output, outcome))
    else:
        _show(made, old, output, outcome)
    _warn_of_unpaired(made)
    return 0


def _as_json(
    made: Baseline, old: Baseline | None, output: Path, outcome: Outcome | None
) -> dict[str, object]:
    run = made.runs[-1]
    return {
        "baseline": str(output),
        "run": run.run,
        "commit": run.commit,
        "dirty": run.dirty,
        "runs": [item.run for item in made.runs],
        "dropped": [item.run for item in dropped(old, made)],
        "diff": outcome.to_json() if outcome else None,
        "new": _new(run, old) if old else {},
    }


def _show(made: Baseline, old: Baseline | None, output: Path, outcome: Outcome | None) -> None:
    run = made.runs[-1]
    if old is None or outcome is None:
        click.echo(f"new baseline of {plural(len(run.cells), 'cell')}")
    else:
        click.echo(fitted(legible(terminal(outcome, moved=True))))
        for cell, names in _new(run, old).items():
            known = bool(cells_of(old, cell))
            text = f"new in {cell}: {', '.join(names)}" if known else f"new cell {cell}"
            click.echo(fitted(inert(text)))
    _show_dropped(dropped(old, made))
    where = f"commit {run.commit[:12]}" if run.commit else "no commit"
    dirty = ", with uncommitted changes" if run.dirty else ""
    stay = f"{plural(len(made.runs), 'run')} in {output}"
    click.echo(f"accepted {inert(run.run)} ({where}{dirty}); {stay}")
    say(f"next: git add {output}, and in CI: ldmbench gate --baseline {output}")


def _new(run: AcceptedRun, old: Baseline) -> dict[str, list[str]]:
    """Return, by cell, the scores and measures of which no accepted run has a value."""
    found: dict[str, list[str]] = {}
    for cell in run.cells:
        before = cells_of(old, cell.id)
        scores = [item.score for item in cell.scores if item.score.value is not None]
        names = [
            f"{score.name} ({score.protocol})" if score.protocol else score.name
            for score in scores
            if not any(score_of(past, score.name, score.protocol) for past in before)
        ]
        names += [
            measure.name
            for measure in cell.measures
            if measure.value is not None
            and not any(measure_of(past, measure.name) for past in before)
        ]
        if names or not before:
            found[cell.id] = names
    return found


def _show_dropped(runs: Sequence[AcceptedRun]) -> None:
    for run in runs:
        measured = (measure.device for cell in run.cells for measure in cell.measures)
        classes = ", ".join(dict.fromkeys(filter(None, measured))) or "no machine named"
        click.echo(inert(f"dropped {run.run} ({classes})"))
    if runs:
        say(f"note: {plural(len(runs), 'accepted run')} dropped; --add would have kept them")


def _warn_of_unpaired(made: Baseline) -> None:
    """Say which scores were accepted without replicates: gates pair nothing with them."""
    run = made.runs[-1]
    lost = [item.score for cell in run.cells for item in cell.scores if not item.replicates]
    names = unpaired(lost, rules_with(made.rules))
    if names:
        say(
            f"warning: accepted without replicates: {', '.join(names)}; gates will judge them by"
            " wider intervals; use --store with their folder, or a run id instead of a file"
        )

"""`ldmbench accept`: a run becomes the baseline that gates compare against."""

from __future__ import annotations

from pathlib import Path

import click

from ldmbench.cli.evidence import evidence
from ldmbench.cli.options import (
    json_option,
    legible,
    plural,
    print_json,
    run_argument,
    say,
    store_option,
)
from ldmbench.cli.terminal import fitted
from ldmbench.gate import accepted_run, judge, merged, read_baseline, terminal, write_baseline
from ldmbench.gate.provenance import commit_of
from ldmbench.gate.verdict import Outcome
from ldmbench.schema.baseline import Baseline


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
        print_json(_as_json(made, output, outcome))
        return 0
    _show(made, old, output, outcome)
    return 0


def _as_json(made: Baseline, output: Path, outcome: Outcome | None) -> dict[str, object]:
    run = made.runs[-1]
    return {
        "baseline": str(output),
        "run": run.run,
        "commit": run.commit,
        "dirty": run.dirty,
        "runs": [item.run for item in made.runs],
        "diff": outcome.to_json() if outcome else None,
    }


def _show(made: Baseline, old: Baseline | None, output: Path, outcome: Outcome | None) -> None:
    run = made.runs[-1]
    if outcome is None:
        click.echo(f"new baseline of {plural(len(run.cells), 'cell')}")
    else:
        click.echo(fitted(legible(terminal(outcome, moved=True))))
        cells = {cell.id for item in old.runs for cell in item.cells} if old else set()
        for cell in run.cells:
            if cell.id not in cells:
                click.echo(f"new cell {cell.id}")
    where = f"commit {run.commit[:12]}" if run.commit else "no commit"
    dirty = ", with uncommitted changes" if run.dirty else ""
    click.echo(f"accepted {run.run} ({where}{dirty}); {plural(len(made.runs), 'run')} in {output}")
    say(f"next: git add {output}, and in CI: ldmbench gate --baseline {output}")

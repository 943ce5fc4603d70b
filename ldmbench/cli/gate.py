"""`ldmbench gate`: a run against a baseline; red when quality or speed regressed."""

from __future__ import annotations

from pathlib import Path

import click

from ldmbench.cli.evidence import evidence
from ldmbench.cli.options import (
    json_option,
    legible,
    print_json,
    run_argument,
    say,
    store_option,
)
from ldmbench.cli.terminal import fitted
from ldmbench.gate import judge, junit_xml, markdown, read_baseline, terminal
from ldmbench.records.book import write_output


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
    help="Speeds accepted on another machine class alone: incomparable, or only noted.",
)
@click.option(
    "--noise",
    type=click.Choice(["refuse", "note"]),
    default="refuse",
    show_default=True,
    help="Numbers too noisy to judge: the gate ends with 3, or they are only noted if others pass.",
)
@click.option("--all", "everything", is_flag=True, help="Also show what passed.")
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
    accepted, seen = read_baseline(baseline), evidence(run, store)
    outcome = judge(
        seen.records,
        accepted,
        seen.replicates,
        title=str(baseline),
        note_machines=other_machines == "note",
        noise_passes=noise == "note",
    )
    if junit:
        write_output(junit, junit_xml(outcome))
    if summary:
        before = summary.read_text(encoding="utf-8") if summary.exists() else ""
        write_output(summary, before + markdown(outcome))
    if as_json:
        print_json(outcome.to_json())
        return outcome.exit_code
    click.echo(fitted(legible(terminal(outcome, everything=everything))))
    for note in outcome.notes:
        say(f"note: {note}")
    if outcome.exit_code == 1:
        say(f"next: ldmbench report, or if this is meant: ldmbench accept -o {baseline}")
    return outcome.exit_code

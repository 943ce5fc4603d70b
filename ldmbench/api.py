"""What a notebook imports: commands as functions that return, raise, and print progress alone.

import ldmbench

run = ldmbench.run("suites/smoke.yaml", set={"sample.steps": 10})
run.table()                                   # pandas, a row a cell
run.figures["quality_steps"]                  # shows itself
ldmbench.score("samples/", reference="shapes:64:5000").table()
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ldmbench.cli.progress import Watch
from ldmbench.cli.sides import check_metrics, side_of
from ldmbench.cli.weights import require_weights
from ldmbench.errors import InputError
from ldmbench.execute import cluster
from ldmbench.gating import judge, read_baseline
from ldmbench.gating.verdict import Outcome
from ldmbench.records.compare import Comparison, Side, stored_replicates
from ldmbench.records.compare import compare as compare_sides
from ldmbench.records.record_file import opened_run
from ldmbench.records.runs import Runs
from ldmbench.report import figures_of
from ldmbench.report.flat import frame
from ldmbench.schema.record import Record
from ldmbench.schema.record import Run as RunRow
from ldmbench.schema.stage import Cell
from ldmbench.scoring.request import Request
from ldmbench.scoring.run import score_request
from ldmbench.session.export import Exported, export_cell
from ldmbench.session.judged_run import evidence
from ldmbench.session.pages import replay, write_report
from ldmbench.session.planning import planned, usual_store
from ldmbench.session.run import run_suite

if TYPE_CHECKING:
    import altair
    import pandas

    from ldmbench.models import Model

__all__ = ["Run", "compare", "gate", "load", "open", "run", "score"]

EXECUTORS = ("local", "ray")
IN_PYTHON = Path("suite")
"""What errors call a suite that is a dict."""


@dataclass(frozen=True)
class Run:
    """A run: what was measured, as rows, as a table and as figures.

    Attributes:
        id: `<suite>-<UTC>-<4 hex>`.
        records: a frozen row a cell: `r.cell.id`, `r.scores[0].value`, `r.measures`, `r.warnings`.
        state: done, failed, interrupted or running.
    """

    id: str
    records: tuple[Record, ...] = field(repr=False)
    state: str
    _row: RunRow = field(repr=False)
    _all_runs: Runs = field(repr=False)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What was measured: model, dataset, sampler, steps, eta, guidance and seeds."""
        return tuple(record.cell for record in self.records)

    @property
    def failed(self) -> dict[str, str]:
        """Why cells failed, by their ids."""
        return {r.cell.id: r.reason or "" for r in self.records if r.status == "failed"}

    def table(self) -> pandas.DataFrame:
        """Return a row a cell: its axes, and per score and measure value, interval and origin.

        A score `fid` gives the columns fid, fid_low, fid_high, fid_n and fid_signature.
        """
        return frame(self.records, stored_replicates(*self._all_runs.stores))

    @cached_property
    def figures(self) -> dict[str, altair.TopLevelMixin]:
        """Every figure of the report that has something to show, as an Altair chart."""
        return figures_of(self._row, self.records, self._all_runs.extras(self.id))

    def export(
        self,
        cell: str,
        folder: str | Path,
        *,
        raw: bool = False,
        checkpoint: float | None = None,
    ) -> Exported:
        """Write the model that was trained for a cell to a folder, as `ldmbench export` does.

        Args:
            cell: a cell's id, or a glob that cells of one model match.
            folder: where; must not exist, or be empty.
            raw: weights that are not averaged.
            checkpoint: a kept share of the training budget; unset: that of the cell's samples.

        Returns:
            `folder`, `weights`, `checkpoint`, `parameters`, `pipeline` (diffusers' class that loads
            it, or None) and `loaders`, a sentence on what takes the folder.

        Raises:
            InputError: there is no such cell or checkpoint, its model was not trained here, or the
                folder is in use.
        """
        return export_cell(
            self._row, self._all_runs, cell, Path(folder), raw=raw, checkpoint=checkpoint
        )

    def report(self) -> Path:
        """Write the page of the run, one self-contained HTML file, and return its path."""
        own = None if self._all_runs.holds(self.id) else self.records
        return write_report(self._row, self._all_runs, again=True, records=own)


def run(
    suite: str | Path | Mapping[str, Any],
    *,
    store: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    only: Iterable[str] = (),
    fresh: Iterable[str] = (),
    executor: str = "local",
    devices: int = 1,
    verify: bool = False,
) -> Run:
    """Train or load, sample, score, time and report everything a suite asks for.

    What the store holds is not computed again; a run that is interrupted goes on where it was.

    Args:
        suite: a file, or the suite itself as nested dicts and lists; paths in it then begin at the
            working folder.
        store: the store's folder; unset: $LDMBENCH_STORE, else ./.ldmbench.
        set: fields to change, by their dotted paths: {"sample.steps": 10}.
        only: globs of cell ids.
        fresh: stage kinds to compute although the store has them.
        executor: "local" or "ray".
        devices: how many devices train one model together. (LDMBENCH_DEVICES says on which devices
            models are trained, sampled and scored side by side.)
        verify: read all files of store and sources again.

    Returns:
        The run; cells that failed are in `failed`.

    Raises:
        InputError: the suite is wrong; the message has every error with its place.

    Examples:
        >>> suite = {
        ...     "suite": "example",
        ...     "data": {"shapes": {"kind": "shapes", "resolution": 16, "train": 64}},
        ...     "models": {
        ...         "pixels": {
        ...             "autoencoder": {"f": 1},
        ...             "denoiser": {"channels": 8, "context_channels": 8, "multipliers": [1, 1]},
        ...             "budget": {"steps": 4},
        ...         }
        ...     },
        ...     "sample": {"steps": [2, 4], "count": 16, "micro_batch": 8},
        ...     "metrics": ["fid"],
        ... }
        >>> run = ldmbench.run(suite)
        >>> [cell.id for cell in run.cells]
        ['pixels/shapes/ddim-2/g1/s0', 'pixels/shapes/ddim-4/g1/s0']
    """
    if executor not in EXECUTORS:
        raise InputError(f"executor={executor!r}; there are: {', '.join(EXECUTORS)}")
    if not isinstance(devices, int) or devices < 1:
        raise InputError(f"devices={devices!r}; allowed: a whole number, 1 or more")
    if executor == "ray":
        cluster.require()
    root = usual_store(store)
    sets = [f"{path}={_yaml(value)}" for path, value in (set or {}).items()]
    path, text = (
        (IN_PYTHON, _yaml(suite, indent=1)) if isinstance(suite, Mapping) else (Path(suite), None)
    )
    loaded, plan = planned(path, sets, _words(only, "only"), store=root, verify=verify, text=text)
    wanted = _words(fresh, "fresh")
    found = run_suite(
        loaded,
        plan,
        root,
        executor=executor,
        team=devices,
        fresh=wanted,
        verify=verify,
        before=partial(require_weights, plan, fresh=wanted),
        watching=lambda _: Watch(plan),
    )
    all_runs = Runs(root)
    write_report(found.run, all_runs, again=not found.reopened)
    for text in (*found.stale_notes(), *replay(all_runs)):
        warnings.warn(text, stacklevel=2)
    return _run_of(found.run, found.records, all_runs)


def score(
    images: str | Path,
    *,
    reference: str | Path | None = None,
    metrics: Iterable[str] = (),
    protocol: str | Iterable[str] | None = None,
    prompts: str | Path | None = None,
    pairs: str | Path | None = None,
    training: str | Path | None = None,
    validation: str | Path | None = None,
    count: int | None = None,
    dataset: str | None = None,
    resolution: int | None = None,
    store: str | Path | None = None,
) -> Run:
    """Score images from any source, as `ldmbench score` does.

    Args:
        images: a folder, zip, npz of images (arr_0) or of features.
        reference: as `images`, or a built reference, statistics, or shapes:RESOLUTION[:COUNT].
        metrics: names; empty: whatever the input allows.
        protocol: one name or several, each of which scores the same samples; unset: shapes-v1.
        prompts: the captions of the images: a .txt, .jsonl, .csv or .parquet file.
        pairs: images of the same names, for psnr, ssim and lpips.
        training: what the model saw, for memorization.
        validation: real images that no model saw, by whose distance fdr divides.
        count: the first images alone, in the order of names.
        dataset: whose rules of the protocol hold.
        resolution: pixels a side where nothing else tells it.
        store: as in `run`.

    Returns:
        A run of one record: `run.records[0].scores`, `.warnings`; it lies in no list of runs.

    Raises:
        InputError: what cannot be scored; UnlikeError: sides that must not be compared.

    Examples:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), dtype=np.uint8)
        >>> np.savez("noise.npz", arr_0=noise)
        >>> scored = ldmbench.score("noise.npz", reference="shapes:16:64", metrics=["kid"])
        >>> scored.records[0].scores[0].name
        'kid'
    """
    root = usual_store() if store is None else Path(store)
    names = ("shapes-v1",) if protocol is None else protocol
    request = Request(
        str(images),
        reference=_text(reference),
        training=_text(training),
        validation=_text(validation),
        pairs=_text(pairs),
        prompts=None if prompts is None else Path(prompts),
        protocols=(names,) if isinstance(names, str) else tuple(names),
        dataset=dataset,
        resolution=resolution,
        metrics=",".join(_words(metrics, "metrics")),
        count=count,
    )
    record = score_request(request, root, before=require_weights, watching=Watch)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    all_runs = Runs(root)
    name = all_runs.new_id("score")
    row = RunRow(id=name, suite="score", suite_digest="", state="done", started=now)
    return _run_of(row, [record], all_runs)


def open(run: str | Path | None = None, *, store: str | Path | None = None) -> Run:
    """Return a run that is there: by its id, the beginning of one, or a record file.

    Args:
        run: unset: the last run of the store.
        store: as in `run`.

    Raises:
        InputError: there is no such run or file.

    Examples:
        >>> ldmbench.open("example").state
        'done'
    """
    root = usual_store(store)
    row, all_runs = opened_run(None if run is None else str(run), root)
    return _run_of(row, all_runs.records(row.id), all_runs)


def compare(
    a: Run | str | Path,
    b: Run | str | Path,
    *,
    metrics: Iterable[str] = (),
    confidence: float = 0.95,
    margin: float = 0.1,
    store: str | Path | None = None,
) -> Comparison:
    """Return what changed from A to B, with intervals and corrected p-values.

    Args:
        a: a Run, a run id, RUN:GLOB or a record file.
        b: as `a`.
        metrics: only these; all when empty.
        confidence: of the intervals, and of all verdicts together.
        margin: "same" needs an interval within this share of the larger value.
        store: as in `run`.

    Returns:
        The comparison: `verdict` (same, differs, undecided) and `rows`, one per cell and score,
        with `difference`, `low`, `high`, `p_holm` and `verdict`.

    Raises:
        InputError: there is no such run; UnlikeError: nothing was measured alike.

    Examples:
        >>> found = ldmbench.compare("example:*/ddim-2/*", "example:*/ddim-4/*")
        >>> [row.name for row in found.rows]
        ['fid']
    """
    root = usual_store(store)
    sides = [_side(which, root) for which in (a, b)]
    names = _words(metrics, "metrics")
    check_metrics(names, [record for side in sides for record in side.records])
    return compare_sides(*sides, metrics=names, confidence=confidence, margin=margin)


def gate(
    run: Run | str | Path | None = None,
    *,
    baseline: str | Path,
    store: str | Path | None = None,
    other_machines: str = "refuse",
    noise: str = "refuse",
) -> Outcome:
    """Judge a run against accepted numbers, as `ldmbench gate` does.

    Args:
        run: a Run, a run id or a record file; unset: the last run of the store.
        baseline: a file that `ldmbench accept` wrote.
        store: as in `run`.
        other_machines: "refuse" or "note": speeds that were accepted on other machines alone.
        noise: "refuse" or "note": numbers that are too noisy to judge.

    Returns:
        The outcome: `verdict`, `items` (one per number), `failed`, `exit_code` of the command.

    Raises:
        InputError: there is no such run or baseline; UnlikeError: it is of another suite.

    Examples:
        >>> outcome = ldmbench.gate("example", baseline="example.json")
        >>> outcome.exit_code
        0
    """
    for name, value in (("other_machines", other_machines), ("noise", noise)):
        if value not in ("refuse", "note"):
            raise InputError(f"{name}={value!r}; there are: refuse, note")
    if isinstance(run, Run):
        name, root = run.id, run._all_runs.root
    else:
        name, root = str(run or ""), usual_store(store)
    seen = evidence(name or None, root)
    return judge(
        seen.records,
        read_baseline(Path(baseline)),
        seen.replicates,
        title=str(baseline),
        note_machines=other_machines == "note",
        noise_passes=noise == "note",
    )


def load(path: str | Path, **options: Any) -> Model:
    """Load a model, whatever it was trained with; no code of it is run.

    Args:
        path: a diffusers folder, a checkpoint or a hub id.
        options: as `ldmbench.models.load`: config, ema, tokenizer, null_class.

    Raises:
        InputError: nothing that can be loaded is there.

    Examples:
        >>> model = ldmbench.load("./ldm-celebahq-256")  # doctest: +SKIP
        >>> model.info.f  # doctest: +SKIP
        4
    """
    from ldmbench.models.loader import load as read  # it imports torch

    return read(path, **options)


def _run_of(row: RunRow, records: Sequence[Record], all_runs: Runs) -> Run:
    return Run(row.id, tuple(records), row.state, row, all_runs)


def _side(which: Run | str | Path, root: Path) -> Side:
    if not isinstance(which, Run):
        return side_of(str(which), root)
    return Side(which.id, which.records, stored_replicates(*which._all_runs.stores, root))


def _yaml(value: object, *, indent: int | None = None) -> str:
    """Return a value as text that YAML reads back.

    Raises:
        InputError: it holds something else than numbers, texts, lists, dicts and paths.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, default=_path)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"a suite holds numbers, texts, lists and dicts; found: {error}") from None


def _text(name: str | Path | None) -> str | None:
    return None if name is None else str(name)


def _path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__}")


def _words(given: Iterable[str], name: str) -> tuple[str, ...]:
    """Return several words; one alone is a mistake that would be read letter by letter.

    Raises:
        InputError: if it is one text.
    """
    if isinstance(given, str):
        raise InputError(f"{name}={given!r}; give a list: {name}=[{given!r}]")
    return tuple(given)

"""Run a request: plan it, put what was brought into the store, compute what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ldmbench.errors import InputError, StageError
from ldmbench.execute.devices import devices
from ldmbench.execute.execution import Listener
from ldmbench.execute.local import execute
from ldmbench.plan.score import ImageSource, build_score_plan
from ldmbench.records.collect import collect_record
from ldmbench.schema.record import Record, Score
from ldmbench.schema.signature import Signature
from ldmbench.schema.stage import Plan
from ldmbench.scoring.imports import put_features
from ldmbench.scoring.request import Asked, Request, asked_of
from ldmbench.scoring.statistics import statistics_of
from ldmbench.store.disk import Store

__all__ = ["score_request"]


def score_request(
    request: Request,
    root: Path,
    *,
    before: Callable[[Plan, Store], None],
    watching: Callable[[Plan], AbstractContextManager[Listener]],
) -> Record:
    """Return one record of the same samples under all protocols of a request.

    Args:
        request: what is asked.
        root: the store's folder.
        before: called before anything is computed: brings what stages will read.
        watching: plan -> the listener that shows progress.

    Raises:
        InputError: it cannot be scored, or no device can be used.
        UnlikeError: sides that must not be compared.
        StageError: a stage failed.
    """
    devices()  # refused, if at all, before a folder is made
    asked = asked_of(request, root)
    store = Store(root)
    store.open()
    return _joined([_scored(one, store, before, watching) for one in asked])


def _joined(records: Sequence[Record]) -> Record:
    """Return one record of the same samples under several protocols, the first one's cell."""
    whole = records[0]
    stages = {role: key for record in records for role, key in record.cell.stages.items()}
    combined = {
        "cell": whole.cell.model_copy(update={"stages": stages}),
        "scores": tuple(score for record in records for score in record.scores),
        "warnings": tuple(dict.fromkeys(text for r in records for text in r.warnings)),
        "keys": {role: key for record in records for role, key in record.keys.items()},
    }
    return whole.model_copy(update=combined)


def _scored(
    asked: Asked,
    store: Store,
    before: Callable[[Plan, Store], None],
    watching: Callable[[Plan], AbstractContextManager[Listener]],
) -> Record:
    samples, reference, training, pairs = (
        asked.samples,
        asked.reference,
        asked.training,
        asked.pairs,
    )
    validation = asked.validation
    assert samples.source is not None
    plan = build_score_plan(
        samples.source,
        reference.source if reference else None,
        asked.protocol,
        metrics=asked.metrics,
        train=training.source if training else None,
        pairs=pairs.source if pairs and isinstance(pairs.source, ImageSource) else None,
        statistics=statistics_of(samples, reference, asked.protocol, asked.metrics),
        validation=validation.source if validation else None,
    )
    before(plan, store)
    for side in filter(None, (samples, reference, training, validation)):
        put_features(side, plan.by_key(), store)
    with watching(plan) as listener:
        log = store.root / "score.log"
        result = execute(plan, store, devices=devices(), listener=listener, log=log)
    record = collect_record(plan.cells[0], plan, store, run="score", failed=result.failed)
    if record.status == "failed":
        raise (InputError if result.wrong else StageError)(f"{samples.name}: {record.reason}")
    scores = [_signed(s) for s in record.scores if s.name in asked.metrics]
    order = {name: place for place, name in enumerate(asked.metrics)}
    scores.sort(key=lambda found: order[found.name])
    combined = tuple(dict.fromkeys([*record.warnings, *asked.warnings]))
    return record.model_copy(update={"scores": tuple(scores), "warnings": combined})


def _signed(found: Score) -> Score:
    """How foreign samples became uint8 is not known."""
    signature = Signature.parse(found.signature)
    if signature.fields.get("quant") == "round":
        signature = signature.replaced("quant", "given")
    return found.model_copy(update={"signature": str(signature)})

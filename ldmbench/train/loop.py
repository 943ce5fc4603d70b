"""The training loop: budget, checkpoints, curve, kept weights and cost, for any Job."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

import torch
from pydantic import Field, TypeAdapter, ValidationError
from torch import Tensor

from ldmbench.canonical import canonical_json, digest, digest_files
from ldmbench.errors import InputError, StageError
from ldmbench.models.files import kept_at
from ldmbench.schema.optimisation import Optimised, lack_of
from ldmbench.tensors.device import device_name
from ldmbench.train.checkpoint import read_checkpoint, write_checkpoint
from ldmbench.train.crew import Crew
from ldmbench.train.limit import Limit
from ldmbench.train.states import TRACE, States
from ldmbench.train.telemetry import Stopwatch, matrix_flops_per_second, memory_in_use

__all__ = ["Cost", "Job", "Report", "run_job"]

Report = Callable[[float, str], None]
"""Called with the share that is done and a note for people, about twice a second."""

KEPT_FOLDER, LIVE_CURVE = "kept", "curve.jsonl"
"""In scratch: weights that are kept on the way, and the curve so far, with seconds."""
FORMAT = 3
"""Of checkpoints; those of another are of another training."""
CURVE_POINTS = 200
REPORT_SECONDS = 0.5


class Job(Protocol):
    """What is trained; every step's randomness depends on its number alone.

    Attributes:
        device: where it is trained.
        crew: the processes that train it together.
        batch: images in a step.
        accumulate: parts in which a batch is computed.
        flops_per_image: forward and backward, 2 per multiply-add.
        parameters: number of weights.
        rate: learning rate of the last step.
        clock: times the parts of each step.
        params: says the precision.
    """

    device: torch.device
    crew: Crew
    batch: int
    accumulate: int
    flops_per_image: float
    parameters: int
    rate: float
    clock: Stopwatch

    @property
    def params(self) -> Optimised:
        """Return what the training was asked to be."""

    def step(self, n: int, fraction: float) -> Tensor:
        """Do optimiser step `n` (from 0), `fraction` of the budget being spent; return the loss."""

    def gradient_norm(self) -> Tensor:
        """Return the norm of the last step's gradients, before they were clipped, a scalar."""

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a later step depends on."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` returned."""

    def keep(self, folder: Path) -> None:
        """Write the weights as they are to be used."""


@dataclass(frozen=True)
class Cost:
    """What training took, added up over the attempts that its weights went through.

    Attributes:
        seconds: wall time of the steps that led to these weights, checkpoints included.
        steps: optimiser steps.
        images: images shown.
        flops: forward and backward (3 x forward), 2 per multiply-add.
        device: the device's name.
        parameters: number of weights.
        curve_seconds: wall time at each row of curve.jsonl.
        attempts: 1, and one more for each resumption.
        precision: of products and convolutions.
        part: most images that were computed at once.
        memory: bytes at the most: of tensors on a GPU, of the process on a CPU.
        shares: of time, of the last attempt: data, network, optimiser, other; add up to 1.
        matrix_flops: FLOP/s of a product of matrices in the same precision, before the first step.
        utilisation: FLOP/s of the training, as a share of these, per device.
        devices: that trained it together, in the last attempt.
        device_seconds: seconds times devices, over all attempts.
        continued_from: steps of a shorter training whose state it went on from.
    """

    seconds: float
    steps: int
    images: int
    flops: float
    device: str
    parameters: int
    curve_seconds: tuple[float, ...]
    attempts: int = 1
    precision: str = "float32"
    part: int = 0
    memory: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    matrix_flops: float = 0.0
    utilisation: float = 0.0
    devices: int = 1
    device_seconds: float = 0.0
    continued_from: int = 0


Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass
class _Progress:
    """How far training is; goes into checkpoints. `kept` has the digests of weights kept so far."""

    steps: Count = 0
    seconds: Seconds = 0.0
    attempts: Count = 0
    window: Count = 0
    curve: list[tuple[Count, Count, float, float, float]] = field(default_factory=list)
    curve_seconds: list[Seconds] = field(default_factory=list)
    memory: Count = 0
    device_seconds: Seconds = 0.0
    continued_from: Count = 0
    kept: dict[str, str] = field(default_factory=dict)


_PROGRESS = TypeAdapter(_Progress)
COLUMNS = ("step", "images", "loss", "rate", "gradient_norm")
"""Of curve.jsonl: the loss is the mean since the row before; the others are of the row's step."""


def run_job(
    job: Job,
    limit: Limit,
    *,
    recipe: str,
    scratch: Path,
    output: Path,
    report: Report,
    checkpoints: tuple[float, ...] = (),
    states: States | None = None,
    checkpoint_seconds: float = 20.0,
) -> Cost:
    """Train until the limit; resume from `scratch` if an earlier attempt stopped there.

    On a CPU, and under a limit in steps, a resumed training ends in the same bytes as an
    undisturbed one. Wall times are in cost.json alone.

    Args:
        job: what is trained, in its initial state.
        limit: when to stop.
        recipe: a digest of what is trained; a checkpoint of another recipe is ignored.
        scratch: kept between attempts.
        output: gets the final weights, at-0.50/ and the like, curve.jsonl and cost.json.
        report: called about twice a second.
        checkpoints: shares of the budget at which weights are kept.
        states: of shorter trainings, from which it goes on, and where its own is kept.
        checkpoint_seconds: how much work a kill may lose.

    Raises:
        InputError: if the device lacks the precision.
        StageError: if the loss is no longer finite.
    """
    # Resume or begin
    _check_precision(job)
    recipe = digest([FORMAT, recipe])
    progress, loss_sum = _resume(job, limit, scratch, recipe, states)
    if progress.continued_from == progress.steps > 0:  # weights may be wanted of this very step
        _keep_due(job, progress, limit, checkpoints, scratch)
    matrix_flops = matrix_flops_per_second(job.params.precision, job.device)
    clock = _Wall(progress, job.crew, limit)
    saved = reported = time.perf_counter()
    resumed_at, resumed_seconds = progress.steps, progress.seconds

    while (before := limit.fraction(progress.steps, progress.device_seconds)) < 1:
        # One step
        with job.clock.step(progress.steps):
            loss = job.step(progress.steps, before)
        loss_sum += loss
        progress.steps += 1
        progress.window += 1
        now = clock.tick()
        after = limit.fraction(progress.steps, progress.device_seconds)

        # Keep what was asked for
        if states and states.trace:
            norm = job.gradient_norm()
            states.trace.add(loss, norm, rate=job.rate, seconds=progress.seconds)
        if int(after * CURVE_POINTS) > int(before * CURVE_POINTS):
            _log(progress, loss_sum, job)
            if job.crew.is_first:
                _show(progress, scratch)
        _keep_due(job, progress, limit, checkpoints, scratch, before=before)

        # Checkpoint
        if now - saved >= checkpoint_seconds and after < 1 and job.crew.is_first:
            facts = asdict(progress) | {"recipe": recipe}
            write_checkpoint(scratch, _state(job, loss_sum, states), facts)
            saved = time.perf_counter()

        # Tell how it goes
        if now - reported >= REPORT_SECONDS or after >= 1:
            pace = (progress.steps - resumed_at) * job.batch
            pace_s = max(1e-9, progress.seconds - resumed_seconds)
            report(after, _note(progress, limit, pace / pace_s))
            reported = now

    if job.crew.is_first:
        _finish(job, progress, scratch, output)
        if states:
            states.keep(progress.steps, _state(job, loss_sum, None), asdict(progress))
    clock.tick()
    return _write_cost(job, progress, output, matrix_flops)


def _check_precision(job: Job) -> None:
    precision, device = job.params.precision, job.device
    if precision == "float32":
        return
    of_gpu = device.type == "cuda"
    capability = "{}.{}".format(*torch.cuda.get_device_capability(device)) if of_gpu else None
    lack = lack_of(precision, capability)
    if lack:
        raise InputError(f"precision: {lack} ({device})")


class _Wall:
    """Counts the seconds of a training, over all of its attempts and devices."""

    def __init__(self, progress: _Progress, crew: Crew, limit: Limit) -> None:
        self._progress, self._crew, self._limit = progress, crew, limit
        self._last = time.perf_counter()

    def tick(self) -> float:
        """Add what passed since the last call; return the time now.

        Where seconds are the limit, all devices go by the first one's.
        """
        now = time.perf_counter()
        passed, self._last = now - self._last, now
        self._progress.seconds += passed
        spent = self._progress.device_seconds + self._crew.count * passed
        self._progress.device_seconds = (
            spent if self._limit.seconds is None else self._crew.agreed(spent)
        )
        return now


def _state(job: Job, loss_sum: Tensor, states: States | None) -> dict[str, Tensor]:
    """Return all that a later step depends on, and what the curve needs."""
    more = states.tensors() if states else {}
    return job.tensors() | {"loop.loss_sum": loss_sum} | more


def _keep_due(
    job: Job,
    progress: _Progress,
    limit: Limit,
    checkpoints: tuple[float, ...],
    scratch: Path,
    *,
    before: float | None = None,
) -> None:
    """Keep the weights of the shares of the budget that the last step reached.

    Args:
        job: whose weights.
        progress: called with them.
        limit: of the training.
        checkpoints: shares.
        scratch: where they are kept.
        before: share that was spent before the step; unset: of a limit in steps.
    """
    after = limit.fraction(progress.steps, progress.device_seconds)
    if before is None:
        before = limit.fraction(progress.steps - 1, progress.device_seconds)
    for share in checkpoints:
        if before < share <= after and share < 1 and job.crew.is_first:
            progress.kept[kept_at(share)] = _keep(job, scratch / KEPT_FOLDER / kept_at(share))


def _resume(
    job: Job, limit: Limit, scratch: Path, recipe: str, states: States | None = None
) -> tuple[_Progress, Tensor]:
    """Return progress and the running sum of losses, and put the job in their state.

    The first process looks before the others, as it sets aside what is damaged.
    """

    def check(found: tuple[dict[str, Tensor], dict[str, object]]) -> str | None:
        return _unfit(*found, job, limit, scratch)

    if not job.crew.is_first:
        job.crew.wait()
    progress = _Progress()
    loss_sum = torch.zeros((), device=job.device)
    found = read_checkpoint(scratch, recipe, check=check)
    if found is not None:
        tensors, facts = found
        progress = _PROGRESS.validate_python(facts)
        loss_sum.copy_(tensors.pop("loop.loss_sum"))
        if states:
            states.take(tensors)
        job.restore(tensors)
    elif job.crew.is_first:
        shutil.rmtree(scratch / KEPT_FOLDER, ignore_errors=True)
    if found is None and states:
        progress = _continue(job, limit, states, loss_sum) or progress
    if job.crew.is_first:
        job.crew.wait()
    if job.crew.agreed(progress.steps) != progress.steps:
        raise StageError("the processes that train together begin at different steps; try again")
    progress.attempts += 1
    return progress, loss_sum


def _continue(job: Job, limit: Limit, states: States, loss_sum: Tensor) -> _Progress | None:
    """Put the job in the last state of a shorter training; None where there is none."""

    def check(found: tuple[dict[str, Tensor], dict[str, object]]) -> str | None:
        return _unfit(*found, job, None, Path())

    found = states.find(check)
    if found is None or states.trace is None:
        return None
    tensors, facts = found
    progress = _PROGRESS.validate_python({**facts, "kept": {}, "curve": [], "curve_seconds": []})
    states.take(tensors)
    for window in states.trace.windows(limit, CURVE_POINTS):
        images = window.step * job.batch
        progress.curve.append((window.step, images, window.loss, window.rate, window.norm))
        progress.curve_seconds.append(window.seconds)
    total, progress.window = states.trace.rest(limit, CURVE_POINTS)
    loss_sum.fill_(total)
    progress.continued_from = progress.steps
    tensors.pop("loop.loss_sum")
    job.restore(tensors)
    return progress


def _unfit(
    tensors: dict[str, Tensor],
    facts: dict[str, object],
    job: Job,
    limit: Limit | None,
    scratch: Path,
) -> str | None:
    """Say why training cannot go on from a checkpoint, or from a state (no limit); or nothing."""
    try:
        progress = _PROGRESS.validate_python(facts)
    except ValidationError as error:
        place, said = error.errors()[0]["loc"], error.errors()[0]["msg"]
        return f"its facts make no sense: {'.'.join(map(str, place))}: {said}"
    if limit and limit.fraction(progress.steps, progress.device_seconds) >= 1:
        return f"it is of step {progress.steps}, past the end of the training"
    wanted = job.tensors() | {"loop.loss_sum": torch.zeros(())}
    other = [n for n, t in wanted.items() if n not in tensors or tensors[n].shape != t.shape]
    if other:
        return f"it lacks {other[0]}, or that has another shape"
    if limit is None:
        return None if TRACE in tensors else f"it lacks {TRACE}"
    lost = [name for name, known in progress.kept.items() if _kept(scratch, name) != known]
    return f"the weights that were kept before, {lost[0]}, are damaged" if lost else None


def _log(progress: _Progress, loss_sum: Tensor, job: Job) -> None:
    """Close a window of the curve."""
    loss = float(loss_sum) / progress.window
    if not math.isfinite(loss):
        raise StageError(
            f"the training loss is no longer finite at step {progress.steps}; "
            "lower learning_rate or lengthen warmup"
        )
    images, norm = progress.steps * job.batch, float(job.gradient_norm())
    progress.curve.append((progress.steps, images, loss, job.rate, norm))
    progress.memory = max(progress.memory, memory_in_use(job.device))
    progress.curve_seconds.append(progress.seconds)
    progress.window = 0
    loss_sum.zero_()


def _kept(scratch: Path, name: str) -> str | None:
    """Return the digest of weights that were kept on the way, if they are there."""
    folder = scratch / KEPT_FOLDER / name
    try:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return digest_files(files, root=folder)
    except OSError:
        return None


def _keep(job: Job, folder: Path) -> str:
    """Write weights into `folder`, whole or not at all; return their digest."""
    fresh = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    job.keep(fresh)
    fresh.rename(folder)
    return _kept(folder.parent.parent, folder.name) or ""


def _note(progress: _Progress, limit: Limit, pace: float) -> str:
    of = f"/{limit.steps}" if limit.steps else ""
    loss = f", loss {progress.curve[-1][2]:.4f}" if progress.curve else ""
    return f"step {progress.steps}{of}{loss}, {pace:.0f} images/s"


def _finish(job: Job, progress: _Progress, scratch: Path, output: Path) -> None:
    """Write the weights and the curve."""
    if job.device.type == "cuda":
        torch.cuda.synchronize(job.device)
    output.mkdir(parents=True, exist_ok=True)
    for name, known in sorted(progress.kept.items()):
        if _kept(scratch, name) != known:
            raise StageError(
                f"{scratch / KEPT_FOLDER / name}: the weights kept there are damaged; the same"
                " command goes on from a checkpoint before them, or begins anew"
            )
        shutil.copytree(scratch / KEPT_FOLDER / name, output / name, dirs_exist_ok=True)
    job.keep(output)
    (output / "curve.jsonl").write_text(_rows(progress), encoding="utf-8")


def _show(progress: _Progress, scratch: Path) -> None:
    """Write the curve so far, whole or not at all: another process reads it."""
    scratch.mkdir(parents=True, exist_ok=True)
    fresh = scratch / f"{LIVE_CURVE}.tmp"
    fresh.write_text(_rows(progress, seconds=progress.curve_seconds), encoding="utf-8")
    fresh.replace(scratch / LIVE_CURVE)


def _rows(progress: _Progress, *, seconds: Sequence[float] = ()) -> str:
    """Return the curve as JSON lines, with the seconds of each row where they are given."""
    rows = [dict(zip(COLUMNS, row)) for row in progress.curve]
    for row, taken in zip(rows, seconds):
        row["seconds"] = taken
    return "".join(canonical_json(row) + "\n" for row in rows)


def _write_cost(job: Job, progress: _Progress, output: Path, matrix_flops: float) -> Cost:
    images = progress.steps * job.batch
    flops = float(images * job.flops_per_image)
    cost = Cost(
        seconds=progress.seconds,
        steps=progress.steps,
        images=images,
        flops=flops,
        device=device_name(job.device),
        parameters=job.parameters,
        curve_seconds=tuple(progress.curve_seconds),
        attempts=progress.attempts,
        precision=job.params.precision,
        part=-(-job.batch // job.accumulate),
        memory=max(progress.memory, memory_in_use(job.device)),
        shares=job.clock.shares(),
        matrix_flops=matrix_flops,
        utilisation=flops / progress.device_seconds / matrix_flops,
        devices=job.crew.count,
        device_seconds=progress.device_seconds,
        continued_from=progress.continued_from,
    )
    if not job.crew.is_first:
        return cost
    (output / "cost.json").write_text(canonical_json(asdict(cost)) + "\n", encoding="utf-8")
    return cost

"""Flows: paths in continuous time from noise to data, and how their source walks them; no torch.

A path is z_t = signal(t) z_0 + spread(t) eps; a flow's velocity is dz_t / dt. Which end of time is
noise, what a network predicts, which times N steps visit and in which precision differ from
source to source, so each is a field here. What computes with tensors is in `paths` (conversions)
and `velocity` (solvers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ldmbench.catalog.samplers import OF_FLOWS, SAMPLERS
from ldmbench.errors import InputError
from ldmbench.registry import nearest

__all__ = [
    "Flow",
    "Interval",
    "Sde",
    "asked_at",
    "evaluations",
    "is_guided",
    "is_inside",
    "times_of",
    "why_not_flow",
]

Path = Literal["linear", "cosine", "vp"]
Predicted = Literal["velocity", "noise", "score"]
Interval = tuple[float, float]
"""Lowest and highest time with guidance, both ends in (arXiv:2404.07724)."""

MOST_STEPS = 4000
SIGMAS = 1000
"""Of diffusers' scheduler; the smallest is 1 / 1000 before it is shifted."""


@dataclass(frozen=True, kw_only=True)
class Sde:
    """The reverse SDE dz = (v + g score) dt + sqrt(2 g) dw (arXiv:2401.08740, equation 3).

    Attributes:
        form: of g: `sigma` is norm x spread; `linear` norm x the distance to data in time;
            `decreasing` (1 + norm cos(pi x distance to noise))^2 / 4; `constant` norm; `bump` norm
            x sin^2(pi t); `sbdm` norm x half the squared diffusion of the path's own SDE.
        norm: the number above.
        method: of the steps: Euler-Maruyama, or Heun's (two evaluations, noise added first).
        last: what takes the place of the last step: `mean` is a step without noise, `tweedie` the
            clean latent by Tweedie's formula, `euler` a step of the ODE, `none` nothing.
        last_size: length of time of the last step, before a shift; the others end there.
    """

    form: Literal["sigma", "linear", "decreasing", "constant", "sbdm", "bump"] = "sigma"
    norm: float = 1.0
    method: Literal["euler", "heun"] = "euler"
    last: Literal["mean", "tweedie", "euler", "none"] = "mean"
    last_size: float = 0.04

    def __post_init__(self) -> None:
        """Refuse a last step without length, or a length without a last step."""
        if (self.last == "none") != (self.last_size == 0) or not 0 <= self.last_size < 1:
            raise InputError(
                f"the last step is '{self.last}' of size {self.last_size:g}; a size lies in (0, 1),"
                " and is 0 with 'none'"
            )


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The forward process of a flow and the conventions of the source that samples it.

    The defaults are those of models trained here: t = 1 is noise, t = 0 data, and the velocity is
    noise - data, as in diffusers' FlowMatchEulerDiscreteScheduler.

    Attributes:
        path: `linear` (arXiv:2209.03003; signal and spread are t and 1 - t), `cosine` (their sine
            and cosine; SiT's GVP), `vp` (arXiv:2011.13456 with beta from 0.1 to 20).
        noise_at: the time of noise, 0 or 1; the other one is that of data.
        prediction: what the network returns.
        grid: what N asks for: N `intervals`; N `points`, N - 1 intervals; or the N sigmas of
            diffusers' FlowMatchEulerDiscreteScheduler (`scheduler`), the last one a thousandth
            before data. The SDE takes N - 1 steps and its last under all.
        margins: what the ODE leaves out of [0, 1], at noise and at data.
        last_heun: Heun corrects its last step too, so that N intervals ask 2 N times, not 2 N - 1.
        guided_by: the time that an interval of guidance is compared with: of the `step`'s begin,
            or of each `evaluation`.
        state: dtype of times and latents between evaluations, and of an interval's comparison.
        shift: s of t' = s t / (1 + (s - 1) t), which moves the times of a grid; 1 leaves them.
        atol: of dopri5, absolute.
        rtol: of dopri5, relative.
        sde: how the reverse SDE is integrated.
    """

    path: Path = "linear"
    noise_at: Literal[0, 1] = 1
    prediction: Predicted = "velocity"
    grid: Literal["intervals", "points", "scheduler"] = "intervals"
    margins: tuple[float, float] = (0.0, 0.0)
    last_heun: bool = False
    guided_by: Literal["step", "evaluation"] = "step"
    state: Literal["float32", "float64"] = "float32"
    shift: float = 1.0
    atol: float = 1e-6
    rtol: float = 1e-3
    sde: Sde = Sde()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Flow:
        """Return the flow that `fields` says.

        Raises:
            InputError: fields that no flow has.
        """
        found: dict[str, Any] = {
            n: tuple(v) if isinstance(v, list) else v for n, v in fields.items()
        }
        try:
            found["sde"] = Sde(**found.get("sde", {}))
            return cls(**found)
        except TypeError as error:
            raise InputError(f"no flow has such fields: {error}") from error

    def fields(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON has it; `of` reads it."""
        found = _apart(asdict(self), asdict(Flow()))
        sde = _apart(asdict(self.sde), asdict(Sde()))
        return {**found, **({"sde": sde} if sde else {})}

    def __post_init__(self) -> None:
        """Refuse a shift that would leave no order of times."""
        if not self.shift > 0:
            raise InputError(f"the shift of times must be above 0, found {self.shift:g}")

    @property
    def data_at(self) -> int:
        """The time of data."""
        return 1 - self.noise_at

    @property
    def direction(self) -> int:
        """1 where sampling goes forward in time, -1 where it goes back."""
        return self.data_at - self.noise_at

    def after(self, distance: float) -> float:
        """Return the time at a distance from noise, in [0, 1]."""
        return distance if self.noise_at == 0 else 1 - distance


def _apart(found: Mapping[str, object], default: Mapping[str, object]) -> dict[str, object]:
    changed = {name: value for name, value in found.items() if value != default[name]}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in changed.items()}


def times_of(flow: Flow, steps: int, *, sampler: str = "euler") -> NDArray[Any]:
    """Return the ends of the steps, from noise to data, in the source's time and `flow.state`.

    For `sde` they end where the last step begins, for `dopri5` they are the two ends.

    Raises:
        InputError: a sampler or a number of steps that cannot be.
    """
    check_flow(flow, steps, sampler=sampler)
    start, end = flow.after(flow.margins[0]), flow.after(1 - flow.margins[1])
    if sampler == "sde":
        end = flow.after(1 - (flow.sde.last_size or flow.margins[1]))
    if flow.grid == "scheduler" and sampler in ("euler", "heun"):
        return _scheduler_times(flow, steps)
    points = steps + 1 if flow.grid == "intervals" and sampler != "sde" else steps
    grid = _linspace(start, end, 2 if sampler == "dopri5" else points, flow.state)
    return shifted(grid, flow.shift)


def shifted(times: NDArray[Any], shift: float) -> NDArray[Any]:
    """Return s t / (1 + (s - 1) t) of times (N,), of their dtype (arXiv:2403.03206, eq. 23)."""
    if shift == 1:
        return times
    s = times.dtype.type(shift)
    moved: NDArray[Any] = s * times / (1 + (s - 1) * times)
    return moved


def asked_at(flow: Flow, steps: int, *, sampler: str = "euler") -> list[tuple[float, float]]:
    """Return (time, begin of its step) of each evaluation of the network, in order.

    Raises:
        InputError: as `times_of`; of dopri5, which chooses its own times.
    """
    if SAMPLERS[sampler].adaptive:
        raise InputError(f"{sampler} chooses its times as it goes, so none can be listed before")
    times = times_of(flow, steps, sampler=sampler).tolist()
    asked: list[tuple[float, float]] = []
    twice = sampler == "heun" or (sampler == "sde" and flow.sde.method == "heun")
    for place, (t, after) in enumerate(pairwise(times)):
        asked.append((t, t))
        if twice and (sampler == "sde" or flow.last_heun or place < len(times) - 2):
            asked.append((after, t))
    if sampler == "sde" and flow.sde.last != "none":
        asked.append((times[-1], times[-1]))
    return asked


def evaluations(
    flow: Flow,
    steps: int,
    *,
    sampler: str = "euler",
    guidance: float = 1.0,
    interval: Interval | None = None,
) -> int:
    """Return how many times a network is evaluated for one sample; a guided time counts twice.

    Raises:
        InputError: as `asked_at`.
    """
    asked = asked_at(flow, steps, sampler=sampler)
    if guidance == 1.0:
        return len(asked)
    return sum(2 if is_guided(flow, *one, interval=interval) else 1 for one in asked)


def is_guided(flow: Flow, t: float, begun: float, *, interval: Interval | None) -> bool:
    """Tell whether an evaluation is guided: the time lies in the interval, both ends in.

    Args:
        flow: whose `state` is the precision of the comparison.
        t: of the evaluation.
        begun: time at which its step began.
        interval: None is all times.
    """
    if interval is None:
        return True
    kind = np.dtype(flow.state).type
    at = kind(begun if flow.guided_by == "step" else t)
    return bool(kind(interval[0]) <= at <= kind(interval[1]))


def is_inside(t: float, interval: Interval | None) -> bool:
    """Tell whether a time lies in an interval, both ends in; None is all times."""
    return interval is None or interval[0] <= t <= interval[1]


def why_not_flow(flow: Flow, steps: int, *, sampler: str) -> str | None:
    """Return why a flow cannot be sampled so, or None if it can."""
    try:
        check_flow(flow, steps, sampler=sampler)
    except InputError as error:
        return str(error)
    return None


def check_flow(flow: Flow, steps: int, *, sampler: str) -> None:
    """Refuse a sampler or a number of steps that a flow does not take."""
    if sampler not in OF_FLOWS:
        raise InputError(
            f"the model is a flow, which '{sampler}' cannot sample{nearest(sampler, OF_FLOWS)};"
            f" ask for one of: {', '.join(OF_FLOWS)}"
        )
    least = 2 if sampler == "sde" or flow.grid == "points" else 1
    whole = isinstance(steps, int) and not isinstance(steps, bool)
    if not whole or not least <= steps <= MOST_STEPS:
        raise InputError(
            f"{sampler} takes a whole number of steps from {least} to {MOST_STEPS} with this flow,"
            f" found {steps!r}"
        )
    sbdm = sampler == "sde" and flow.sde.form == "sbdm" and flow.path != "vp"
    if sbdm and flow.margins[0] == 0:
        raise InputError(
            "the diffusion form sbdm is infinite at the time of noise, where this flow begins;"
            " ask for another form, such as sigma"
        )


def _scheduler_times(flow: Flow, steps: int) -> NDArray[Any]:
    """Return the sigmas of diffusers' scheduler and 0; it shifts the smallest one twice."""
    least = shifted(np.array([1 / SIGMAS], flow.state), flow.shift)[0]
    sigmas = shifted(_linspace(1.0, float(least), steps, flow.state), flow.shift)
    grid: NDArray[Any] = np.append(sigmas, sigmas.dtype.type(0))
    return grid if flow.noise_at == 1 else 1 - grid


def _linspace(start: float, end: float, points: int, state: str) -> NDArray[Any]:
    """Return points as torch.linspace has them, counted from the nearer end."""
    kind = np.dtype(state).type
    first, last = kind(start), kind(end)
    step = (last - first) / kind(max(points - 1, 1))
    place = np.arange(points, dtype=state)
    from_end = last - step * (kind(points - 1) - place)
    grid: NDArray[Any] = np.where(place < points // 2, first + step * place, from_end)
    return grid.astype(state)

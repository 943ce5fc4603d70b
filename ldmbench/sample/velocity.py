"""Solvers of a velocity field: noise in, latents out; independent of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ldmbench.sample.adaptive import dormand_prince
from ldmbench.sample.flow import Flow, Interval, check_flow, is_guided, times_of
from ldmbench.sample.noise import step_draws
from ldmbench.sample.paths import diffusion, levels_at, score_of

__all__ = ["Field", "integrate"]

Field = Callable[[Tensor, Tensor, bool], Tensor]
"""(z, t, guided) -> velocity: z (B, C, h, w), t (B,) in the source's time, of the noise's dtype."""


@torch.no_grad()
def integrate(
    field: Field,
    noise: Tensor,
    *,
    flow: Flow,
    steps: int,
    sampler: str = "euler",
    interval: Interval | None = None,
    seeds: Sequence[int] | None = None,
    step_noise: Tensor | None = None,
) -> Tensor:
    """Turn noise into latents by a flow's ODE or its reverse SDE.

    Args:
        field: (z, t, guided) -> the velocity dz / dt of z's shape, in the source's time and sign;
            `guided` says whether guidance is on at this evaluation.
        noise: (B, C, h, w), N(0, 1).
        flow: the path and the source's conventions.
        steps: how many are asked for, as the source counts them (`flow.grid`); dopri5 leaves it.
        sampler: euler, heun, dopri5 or sde.
        interval: lowest and highest time with guidance, in the source's time; None is all.
        seeds: one per sample, for sde.
        step_noise: (draws, B, C, h, w), in the order drawn, in place of seeds.

    Returns:
        Latents, (B, C, h, w), of the dtype and on the device of `noise`.

    Raises:
        InputError: a sampler or a number of steps that the flow does not take; sde with neither
            seeds nor step_noise.
    """
    check_flow(flow, steps, sampler=sampler)
    walk = _Walk(field, noise, flow=flow, interval=interval)
    z = noise.to(walk.state)
    if sampler == "dopri5":
        return walk.adapt(z).to(noise.dtype)
    times = times_of(flow, steps, sampler=sampler).tolist()
    if sampler == "sde":
        draws = step_draws(noise, len(times) - 1, seeds=seeds, step_noise=step_noise, who="sde")
        return walk.diffuse(z, times, draws).to(noise.dtype)
    return walk.follow(z, times, heun=sampler == "heun").to(noise.dtype)


class _Walk:
    """A field that is asked at times of a flow; latents are of the flow's state in between."""

    def __init__(
        self, field: Field, noise: Tensor, *, flow: Flow, interval: Interval | None
    ) -> None:
        self.field, self.flow, self.interval = field, flow, interval
        self.state: torch.dtype = getattr(torch, flow.state)
        self.dtype, self.device, self.count = noise.dtype, noise.device, len(noise)

    def velocity(self, z: Tensor, t: float, begun: float) -> Tensor:
        """Return dz / dt at one time of a step that began at another, or at the same."""
        guided = is_guided(self.flow, t, begun, interval=self.interval)
        return self.field(z.to(self.dtype), self.at(t).to(self.dtype), guided).to(z)

    def at(self, t: float) -> Tensor:
        """Return a time for each sample, (B,)."""
        return torch.full((self.count,), t, dtype=self.state, device=self.device)

    def follow(self, z: Tensor, times: Sequence[float], *, heun: bool) -> Tensor:
        """Follow the ODE by Euler's or Heun's steps (arXiv:2206.00364, algorithm 1)."""
        for place, (t, after) in enumerate(pairwise(times)):
            slope = self.velocity(z, t, t)
            if heun and (self.flow.last_heun or place < len(times) - 2):
                ahead = self.velocity(z + (after - t) * slope, after, t)
                slope = (slope + ahead) / 2
            z = z + (after - t) * slope
        return z

    def adapt(self, z: Tensor) -> Tensor:
        """Follow the ODE by Dormand and Prince's steps, beginning anew where guidance jumps."""
        start, end = times_of(self.flow, 2, sampler="dopri5").tolist()
        low, high = min(start, end), max(start, end)
        jumps = [t for t in self.interval or () if low < t < high]
        stops = sorted([start, *jumps, end], reverse=start > end)
        for t, after in pairwise(stops):
            guided = is_guided(self.flow, (t + after) / 2, (t + after) / 2, interval=self.interval)
            z = dormand_prince(
                lambda y, at, guided=guided: self.field(  # type: ignore[misc]
                    y.to(self.dtype), at.to(self.dtype), guided
                ).to(y),
                z,
                t,
                after,
                atol=self.flow.atol,
                rtol=self.flow.rtol,
            )
        return z

    def diffuse(self, z: Tensor, times: Sequence[float], draws: Iterator[Tensor]) -> Tensor:
        """Follow the reverse SDE, then take its last step."""
        heun = self.flow.sde.method == "heun"
        for t, after in pairwise(times):
            step = after - t
            g = diffusion(self.flow, self.at(t)).reshape(-1, 1, 1, 1)
            jump = torch.sqrt(2 * g * abs(step)) * next(draws).to(z)
            if heun:
                z = z + jump
                slope = self._drift(z, t, t)
                slope = (slope + self._drift(z + step * slope, after, t)) / 2
                z = z + step * slope
            else:
                z = z + step * self._drift(z, t, t) + jump
        return self._last(z, times[-1])

    def _drift(self, z: Tensor, t: float, begun: float) -> Tensor:
        """Return v + g score, in the direction of sampling."""
        at, v = self.at(t), self.velocity(z, t, begun)
        g = diffusion(self.flow, at).reshape(-1, 1, 1, 1)
        return v + self.flow.direction * g * score_of(self.flow, v, z, at)

    def _last(self, z: Tensor, t: float) -> Tensor:
        """Step from the last time to data: arXiv:2401.08740, appendix A, and Tweedie's formula."""
        step, last = self.flow.data_at - t, self.flow.sde.last
        if last == "mean":
            return z + step * self._drift(z, t, t)
        if last == "euler":
            return z + step * self.velocity(z, t, t)
        if last == "tweedie":
            at, v = self.at(t), self.velocity(z, t, t)
            a, s = (x.reshape(-1, 1, 1, 1) for x in levels_at(self.flow, at)[:2])
            return (z + s**2 * score_of(self.flow, v, z, at)) / a
        return z

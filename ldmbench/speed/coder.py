"""Speed of a first stage alone: encoding and decoding, timed between yardsticks and counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ldmbench.models.called_stage import CalledStage
from ldmbench.models.flops import count_flops
from ldmbench.models.model import Model
from ldmbench.schema.params import CoderSpeedParams
from ldmbench.speed.energy import measure_energy
from ldmbench.speed.memory import peak_memory
from ldmbench.speed.paired import Paired, interleave, timing_of
from ldmbench.speed.yardstick import yardstick

__all__ = ["CoderSpeed"]

ENERGY_SECONDS = 2.0
"""Of a repeated batch, at the least, between two readings of energy counters."""
UNSEEN = "your own code is called, not seen into"


class CoderSpeed:
    """Measures a first stage on images of noise.

    Attributes:
        coder: the first stage.
        params: what is asked for.
        device: where it lies, as torch names it.
        named: what every measure says of the device.
        report: of progress.
    """

    def __init__(
        self,
        coder: Model | CalledStage,
        params: CoderSpeedParams,
        *,
        device: str,
        named: dict[str, str],
        report: Callable[[float, str], None],
    ) -> None:
        self.coder, self.params, self.report = coder, params, report
        self.device, self.named = device, named
        generator = torch.Generator().manual_seed(0)
        shape = (params.batch, 3, params.resolution, params.resolution)
        self.x = (torch.rand(shape, generator=generator) * 2 - 1).to(device)
        self.z = coder.encode(self.x)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield every measure that is asked for as its record has it."""
        only, batch = self.params.only, self.params.batch
        if only is None or "flops" in only:
            yield from self._counted()
        if only is None:
            yield from self._timed()
        if only is None or "memory" in only:
            on_cpu = torch.device(self.device).type == "cpu"
            where = {"device": "cpu"} if on_cpu else {}
            peak = peak_memory(self._both, device=self.device)
            yield self._one("peak_memory", peak.bytes, "bytes", batch=batch, **where)
        if only is None:
            yield self._energy()

    @cached_property
    def times(self) -> dict[str, Paired]:
        """Times of a batch and of one image, between yardsticks."""
        calls = {
            f"{what}_{how}": lambda call=call, part=part: call(part)
            for what, call, data in (
                ("encode", self.coder.encode, self.x),
                ("decode", self.coder.decode, self.z),
            )
            for how, part in (("throughput", data), ("seconds", data[:1]))
        }
        return interleave(
            calls,
            yardstick(device=self.device),
            repeats=self.params.repeats,
            device=self.device,
            report=lambda share: self.report(0.1 + 0.7 * share, "encoding and decoding"),
        )

    def _timed(self) -> Iterator[dict[str, object]]:
        sticks = [stick for part in self.times.values() for stick in part.sticks.seconds]
        yield self._one("yardstick", float(np.median(sticks)), "s", n=len(sticks))
        for name, times in self.times.items():
            (least, most), seconds = times.span(), times.timing.median
            made, span, unit = seconds, (seconds * least, seconds * most), "s"
            batch = 1
            if name.endswith("throughput"):
                batch, unit = self.params.batch, "images/s"
                made = batch / seconds
                span = made / most, made / least
            low, high = span
            yield self._one(name, made, unit, low=low, high=high, batch=batch, **timing_of(times))

    def _counted(self) -> Iterator[dict[str, object]]:
        one, z = self.x[:1], self.z[:1]
        yield self._one("encode_flops", count_flops(lambda: self.coder.encode(one)), "FLOP")
        yield self._one("decode_flops", count_flops(lambda: self.coder.decode(z)), "FLOP")
        known = isinstance(self.coder, Model)
        count = self.coder.info.parameters if isinstance(self.coder, Model) else None
        reason = {} if known else {"reason": UNSEEN}
        yield self._one("autoencoder_parameters", count, "parameters", **reason)

    def _energy(self) -> dict[str, object]:
        """Return the energy of encoding and decoding an image."""
        seconds = sum(t.timing.median for n, t in self.times.items() if n.endswith("throughput"))
        times, batch = math.ceil(ENERGY_SECONDS / seconds), self.params.batch
        energy = measure_energy(lambda: self._both(times), device=self.device)
        each = None if energy.joules is None else energy.joules / (times * batch)
        known: dict[str, Any] = {"reason": energy.reason, "batch": batch}
        return self._one("energy_per_image", each, "J", **known)

    def _both(self, times: int = 1) -> None:
        for _ in range(times):
            self.coder.decode(self.coder.encode(self.x))

    def _one(self, name: str, value: float | None, unit: str, **more: object) -> dict[str, object]:
        return {"name": name, "value": value, "unit": unit, **self.named, **more}

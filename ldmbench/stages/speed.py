"""speed: a model and a way of sampling -> throughput, latency, FLOPs, memory and energy here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ldmbench.models.pipelines.subject import parts_of
from ldmbench.models.subject import Subject, Work
from ldmbench.schema.params import CoderSpeedParams, SpeedParams
from ldmbench.schema.task import Task
from ldmbench.speed.energy import measure_energy
from ldmbench.speed.flops import work_flops
from ldmbench.speed.memory import peak_memory
from ldmbench.speed.paired import Paired, interleave, timing_of
from ldmbench.speed.yardstick import yardstick
from ldmbench.stages.coder import measure_coder
from ldmbench.stages.common import Report, let_go
from ldmbench.stages.samples import Conditions, draw
from ldmbench.stages.subject import subject_of
from ldmbench.tensors.device import device_name, software_in_words

ENERGY_SECONDS = 2.0
"""Of making batches, at the least, between two readings of the energy counters, which are slow."""
UNSEEN = "your own code is called, not seen into"


@torch.no_grad()
def run(task: Task[SpeedParams | CoderSpeedParams], report: Report) -> None:
    """Measure what the parameters ask for: sampling, or a first stage alone."""
    match task.params:
        case CoderSpeedParams() as params:
            measure_coder(task, params, report)
        case SpeedParams():
            measure_sampling(task, report)


def measure_sampling(task: Task[Any], report: Report) -> None:
    """Measure on this device, decoding and quantisation included."""
    let_go()  # so that peak memory is of this model alone
    measure = _Measurement(task, subject_of(task, size=task.params.size), report)
    (task.output / "measures.json").write_text(
        json.dumps(list(measure.all()), indent=1), encoding="utf-8"
    )
    report(1.0, "")


@torch.no_grad()
def timed(task: Task[SpeedParams], report: Report) -> list[dict[str, object]]:
    """Return throughput, latency and the yardstick alone, each as its record has it."""
    return list(_Measurement(task, subject_of(task, size=task.params.size), report).timed())


class _Measurement:
    def __init__(self, task: Task[SpeedParams], subject: Subject, report: Report) -> None:
        self.task, self.params, self.report = task, task.params, report
        self.subject = subject
        self.conditions = Conditions(task, subject)
        self.device = device_name(torch.device(task.device))
        self.setting = software_in_words(task.device)

    @cached_property
    def work(self) -> Work:
        """What one image takes."""
        return self.subject.work(self.params)

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield every measure that is asked for as its record has it; nothing is timed in vain."""
        only, batch = self.params.only, self.params.batch
        if only is None or "flops" in only:
            yield from self._counted()
        if only is None:
            yield from self.timed()
        if only is None or "memory" in only:
            self.report(0.8, "memory")
            yield self._memory(batch)
        if only is None:
            yield self._energy(batch)

    @cached_property
    def times(self) -> dict[str, Paired]:
        """Times of a batch and of one image, between yardsticks."""
        batch = self.params.batch
        return interleave(
            {"throughput": lambda: self.make(batch), "latency": lambda: self.make(1)},
            yardstick(device=self.task.device),
            repeats=self.params.repeats,
            device=self.task.device,
            report=lambda share: self.report(0.1 + 0.7 * share, "throughput and latency"),
        )

    def timed(self) -> Iterator[dict[str, object]]:
        """Yield speeds, each between yardsticks; intervals are of the ratios to them."""
        batch, repeats = self.params.batch, self.params.repeats
        many, one = self.times["throughput"], self.times["latency"]
        sticks = [stick for part in self.times.values() for stick in part.sticks.seconds]
        yield self._one("yardstick", float(np.median(sticks)), "s", n=len(sticks))
        (least, most), made = many.span(), batch / many.timing.median
        span = {"low": made / most, "high": made / least, "batch": batch}
        yield self._one("throughput", made, "images/s", **span, **timing_of(many))
        (least, most), seconds = one.span(), one.timing.median
        span = {"low": seconds * least, "high": seconds * most, "batch": 1}
        yield self._one("latency", seconds, "s", **span, **timing_of(one))
        yield self._one("latency_p95", one.timing.p95, "s", n=repeats, batch=1)
        for name, part in parts_of(self.subject, lambda: self.make(1), repeats=repeats).items():
            yield self._one(name, part, "s", n=repeats, batch=1)

    def _memory(self, batch: int) -> dict[str, object]:
        """Return the peak memory; on a CPU it is counted, and the same on all of them."""
        on_cpu = torch.device(self.task.device).type == "cpu"
        where = {"batch": batch, **({"device": "cpu"} if on_cpu else {})}
        if on_cpu and self.work.whole is not None:
            return self._one("peak_memory", None, "bytes", reason=UNSEEN, **where)
        peak = peak_memory(lambda: self.make(batch), device=self.task.device)
        return self._one("peak_memory", peak.bytes, "bytes", **where)

    def _energy(self, batch: int) -> dict[str, object]:
        """Return the energy of an image, out of batches that fill ENERGY_SECONDS."""
        batches = math.ceil(ENERGY_SECONDS / self.times["throughput"].timing.median)

        def enough() -> None:
            for _ in range(batches):
                self.make(batch)

        energy = measure_energy(enough, device=self.task.device)
        condition: dict[str, Any] = {"reason": energy.reason, "batch": batch}
        if energy.joules is None:
            return self._one("energy_per_image", None, "J", **condition)
        each = energy.joules / (batches * batch)
        return self._one("energy_per_image", each, "J", n=batches, **condition)

    def _counted(self) -> Iterator[dict[str, object]]:
        """Yield what is counted rather than timed."""
        guided, work = self.params.guidance != 1, self.work
        asked = work.evaluations
        if work.whole is not None:  # code of the user's own, which may say its evaluations
            unseen = UNSEEN if asked is None else None
            yield self._one("evaluations", asked, "evaluations", reason=unseen)
            yield self._one("flops_per_image", work.whole, "FLOP")
            yield self._one("parameters", None, "parameters", reason=UNSEEN)
            return
        assert asked is not None
        beside = guided * work.guided
        yield self._one("evaluations", asked + beside, "evaluations")
        yield self._one("flops_per_image", work_flops(work, asked, beside), "FLOP")
        if work.batch is not None:
            step = 3 * (work.denoiser + work.condition) * work.batch
            yield self._one("flops_per_training_step", step, "FLOP", batch=work.batch)
        yield self._one("parameters", work.parameters, "parameters")
        yield self._one("autoencoder_parameters", work.autoencoder_parameters, "parameters")

    def make(self, count: int) -> None:
        """Sample, decode and quantise `count` images."""
        condition = self.conditions.of(np.arange(count) % max(len(self.conditions.labels()), 1))
        draw(self.subject, list(range(count)), self.params, condition, self.task.device)

    def _one(self, name: str, value: float | None, unit: str, **more: object) -> dict[str, object]:
        where = {"device": self.device, **({"setting": self.setting} if self.setting else {})}
        return {"name": name, "value": value, "unit": unit, **where, **more}

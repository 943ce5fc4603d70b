"""speed: a model and a way of sampling -> throughput, latency, FLOPs, memory and energy here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ldmbench.models.subject import Subject
from ldmbench.schema.task import Task
from ldmbench.speed.energy import measure_energy
from ldmbench.speed.flops import sampling_flops
from ldmbench.speed.memory import peak_memory
from ldmbench.speed.throughput import latency, throughput
from ldmbench.speed.yardstick import yardstick
from ldmbench.stages.common import Report
from ldmbench.stages.samples import Conditions, draw
from ldmbench.stages.subject import subject_of
from ldmbench.train.loop import device_name

UNSEEN = "your own code is called, not seen into"


@torch.no_grad()
def run(task: Task, report: Report) -> None:
    """Measure on this device, decoding and quantisation included."""
    measure = _Measurement(task, subject_of(task), report)
    (task.output / "measures.json").write_text(json.dumps(list(measure.all()), indent=1))
    report(1.0, "")


class _Measurement:
    def __init__(self, task: Task, subject: Subject, report: Report) -> None:
        self.task, self.params, self.report = task, {"seed": 0, **task.params}, report
        self.subject = subject
        self.conditions = Conditions(task, subject)
        self.device = device_name(torch.device(task.device))

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield every measure as its record has it."""
        batch, repeats = self.params["batch"], self.params["repeats"]
        yield from self._counted()
        self.report(0.1, "yardstick")
        stick = yardstick(device=self.task.device)
        yield self._one("yardstick", stick.seconds, "s", n=5)
        self.report(0.2, "throughput")
        made = throughput(self.make, batch=batch, repeats=repeats, device=self.task.device)
        span = {"low": made.low, "high": made.high, "n": repeats, "batch": batch}
        yield self._one("throughput", made.images_per_second, "images/s", **span)
        self.report(0.6, "latency")
        one = latency(self.make, repeats=repeats, device=self.task.device)
        yield self._one("latency", one.median, "s", low=one.low, high=one.high, n=repeats, batch=1)
        yield self._one("latency_p95", one.p95, "s", n=repeats, batch=1)
        self.report(0.8, "memory")
        peak = peak_memory(lambda: self.make(batch), device=self.task.device)
        yield self._one("peak_memory", peak.bytes, "bytes", batch=batch)
        energy = measure_energy(lambda: self.make(batch), device=self.task.device)
        joules = None if energy.joules is None else energy.joules / batch
        yield self._one("energy_per_image", joules, "J", reason=energy.reason, batch=batch)

    def _counted(self) -> Iterator[dict[str, Any]]:
        """Yield what is counted rather than timed."""
        guided, work = self.params["guidance"] != 1, self.subject.work(self.params)
        asked = work.evaluations
        if asked is None:
            yield self._one("evaluations", None, "evaluations", reason=UNSEEN)
            yield self._one("flops_per_image", work.whole, "FLOP")
            yield self._one("parameters", None, "parameters", reason=UNSEEN)
            return
        flops = sampling_flops(
            evaluations=asked,
            denoiser=work.denoiser,
            condition=work.condition,
            decoder=work.decoder,
            guided=guided,
        )
        yield self._one("evaluations", asked * (2 if guided else 1), "evaluations")
        yield self._one("flops_per_image", flops, "FLOP")
        if work.batch is not None:
            step = 3 * (work.denoiser + work.condition) * work.batch
            yield self._one("flops_per_training_step", step, "FLOP", batch=work.batch)
        yield self._one("parameters", work.parameters, "parameters")
        yield self._one("autoencoder_parameters", work.autoencoder_parameters, "parameters")

    def make(self, count: int) -> None:
        """Sample, decode and quantise `count` images."""
        rows = np.arange(count) % max(len(self.conditions.labels()), 1)
        draw(
            self.subject,
            list(range(count)),
            self.params,
            self.conditions.of(rows),
            self.task.device,
        )

    def _one(self, name: str, value: float | None, unit: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "value": value, "unit": unit, "device": self.device, **more}

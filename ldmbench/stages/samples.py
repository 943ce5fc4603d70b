"""samples: a model, conditions and seeds -> uint8 images, one shard of a fixed range of seeds."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from ldmbench.data.shards import write_array
from ldmbench.errors import InputError
from ldmbench.models.conditions import Encoded
from ldmbench.models.subject import Subject
from ldmbench.sample.noise import initial_noise, step_seeds
from ldmbench.schema.params import SamplesParams, Sampling
from ldmbench.schema.task import Task
from ldmbench.stages.common import Pixels, Report, chunks, contexts_of, report_progress, rows_of
from ldmbench.stages.subject import subject_of
from ldmbench.stages.truth import Truths, captions_of
from ldmbench.tensors.numerics import autocast


@torch.no_grad()
def run(task: Task[SamplesParams], report: Report) -> None:
    """Draw one shard; sample i depends on (seed, i) and its condition alone."""
    params = task.params
    subject = subject_of(task, params.progress, size=params.size)
    assert task.shard is not None
    start, stop = task.shard
    conditions = Conditions(task, subject)
    pixels = []
    for rows in chunks(stop - start, params.micro_batch):
        made = draw(subject, (rows + start).tolist(), params, conditions.of(rows), task.device)
        pixels.append(made)
        report_progress(report, min(int(rows[-1]) + 1, stop - start), stop - start, "samples")
    write_array(task.output / "images.npy", np.concatenate(pixels)[: stop - start])
    write_array(task.output / "labels.npy", conditions.labels())
    (task.output / "captions.json").write_text(json.dumps(conditions.captions()), "utf-8")


def draw(
    subject: Subject, indices: list[int], params: Sampling, condition: Any, device: str
) -> Pixels:
    """Return some samples, uint8 NHWC."""
    noise = initial_noise(indices, seed=params.seed, shape=subject.shape).to(device)
    seeds = step_seeds(indices, seed=params.seed)
    with autocast(params.precision, device):
        return subject.draw(noise, condition=condition, params=params, seeds=seeds)


class Conditions:
    """Conditions of one shard of samples: prompts or real images; none if unconditional."""

    def __init__(self, task: Task, subject: Subject) -> None:
        self.subject = subject
        self.first, self.count = task.shard or (0, 0)
        self.count -= self.first
        self._found = task.inputs.get("conditions")
        self._truths: Truths | None = None
        read = task.inputs.get("contexts")
        self._contexts = contexts_of(read) if read else None
        self._labels, self._captions = np.zeros(self.count, "<i8"), [""] * self.count
        if self._found:
            self._labels = rows_of(self._found, "labels.npy").all()
            self._captions = captions_of(self._found)[: len(self._labels)]
            blank = sum(not text for text in self._captions)
            if blank and task.local.conditioning == "caption":  # only code of the user's own can
                raise InputError(
                    f"the data give {blank} of {len(self._captions)} samples no caption, and the"
                    " model takes captions; return one for each image of the split validation,"
                    " or set conditioning: none"
                )

    def of(self, rows: np.ndarray) -> Any:
        """Return the conditions of some rows; None for an unconditional model."""
        if not len(self._labels):
            return None
        if self._contexts:
            made = self._contexts
            return Encoded(torch.from_numpy(made.read(rows)), torch.from_numpy(made.null))
        truth = None
        if self._found and self.subject.needs_truth:
            self._truths = self._truths or Truths(self._found, self.first)
            truth = self._truths.at(rows)
        texts = [self._captions[i] for i in rows] if self._found else None
        return self.subject.condition(captions=texts, labels=self._labels[rows], truth=truth)

    def labels(self) -> np.ndarray:
        """Return the class of each sample of the shard."""
        return self._labels

    def captions(self) -> list[str]:
        """Return the caption of each sample of the shard, '' where there is none."""
        return self._captions

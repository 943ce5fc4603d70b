"""contexts: captions -> what a frozen text encoder makes of them, encoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ldmbench.data.contexts import distinct, write_contexts
from ldmbench.errors import InputError
from ldmbench.models.frozen_text import FrozenText, frozen_at
from ldmbench.schema.params import ContextsParams
from ldmbench.schema.task import Task
from ldmbench.sources.models.text_encoders import text_encoder
from ldmbench.stages.common import Report, resident
from ldmbench.stages.truth import captions_of


def run(task: Task[ContextsParams], report: Report) -> None:
    """Encode the captions of one shard, each once, and the empty one."""
    encoder = encoder_at(task.local.text or "", task.params, task.device)
    found = task.inputs["images"]
    texts, rows = distinct(captions_of(found)[: found.stop - found.start])
    ids = encoder.prompts.tokens(texts)
    parts = []
    for start in range(0, len(ids), task.params.micro_batch):
        report(start / len(ids), f"{start:,} of {len(ids):,} captions")
        parts.append(encoder.read(ids[start : start + task.params.micro_batch]).cpu().numpy())
    write_contexts(task.output, np.concatenate(parts), rows)


@resident(1)
def encoder_at(place: str, params: ContextsParams, device: str) -> FrozenText:
    """Return a text encoder from disk, if it is still the one that was planned.

    Raises:
        InputError: it is another one now.
    """
    found = text_encoder(place, Path())
    if found.digest != params.encoder:
        raise InputError(f"{place} has changed since the run was planned; run again")
    return frozen_at(found, tokens=params.tokens, device=device)

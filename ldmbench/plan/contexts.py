"""What frozen text encoders make of captions: encoded once into the store, or in each batch.

The rule: contexts of all training captions take KEPT_BYTES or less as float32. It knows the numbers
of the suite and the sizes of the encoder alone, never the machine, so that keys do not differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ldmbench.plan.digests import Digests
from ldmbench.plan.estimate import bytes_of
from ldmbench.plan.ledger import Ledger, aligned
from ldmbench.schema.local import Local
from ldmbench.schema.models import DenoiserParams
from ldmbench.schema.params import ContextsParams, TrainedDenoiser
from ldmbench.schema.stage import Plan, Stage
from ldmbench.sources.models.text_encoders import AT_ONCE, TextEncoder, text_encoder

__all__ = ["KEPT_BYTES", "FrozenTexts", "described"]

KEPT_BYTES = 32 << 30
"""Bytes of the contexts of training captions up to which they are kept in the store."""
CONTEXT_SHARD = 256
"""Images in one shard of contexts."""


@dataclass(frozen=True)
class FrozenTexts:
    """Plans contexts into a ledger.

    Attributes:
        folder: of the suite file.
        digests: of the plan.
        ledger: where stages are added.
        known: encoders that were looked for, by name.
    """

    folder: Path
    digests: Digests
    ledger: Ledger
    known: dict[str, TextEncoder] = field(default_factory=dict)

    def encoder(self, section: DenoiserParams) -> TextEncoder | None:
        """Return the frozen encoder of a denoiser; None where it has none."""
        name = section.text_encoder
        if name is None:
            return None
        if name not in self.known:
            self.known[name] = text_encoder(name, self.folder)
        return self.known[name]

    def digest(self, encoder: TextEncoder) -> str:
        """Return the digest of an encoder's files; they are read once."""
        return self.digests.encoder(encoder)

    def of_training(self, section: DenoiserParams, train: Stage) -> Stage | None:
        """Plan the contexts of training captions; None where each batch is encoded in training."""
        encoder = self.encoder(section)
        if encoder is None:
            return None
        params = ContextsParams(
            encoder=self.digest(encoder),
            tokens=encoder.tokens(section.caption_tokens),
            width=encoder.width,
            micro_batch=AT_ONCE,
        )
        if (train.count or 0) * bytes_of(params) > KEPT_BYTES:
            return None
        return self._add(params, train, Local(text=str(encoder.place), bytes=encoder.bytes))

    def of_prompts(
        self, denoiser: Stage, guide: Stage | None, conditions: Stage | None
    ) -> Stage | None:
        """Plan the contexts of the prompts of samples, where those of the training are planned.

        None also where another model guides that reads prompts by another encoder. A number of
        samples does not decide on it, so that samples can be added to.
        """
        own = self._below(denoiser)
        if own is None or conditions is None:
            return None
        if guide is not None and getattr(self._below(guide), "params", None) != own.params:
            return None
        assert isinstance(own.params, ContextsParams)
        return self._add(own.params, conditions, own.local)

    def _below(self, denoiser: Stage) -> Stage | None:
        found = denoiser.inputs.get("contexts")
        return self.ledger.stages[found.key] if found else None

    def _add(self, params: ContextsParams, images: Stage, local: Local) -> Stage:
        return self.ledger.add(
            "contexts",
            params,
            {"images": aligned(images)},
            shard=CONTEXT_SHARD,
            count=images.count,
            local=local,
        )


def described(plan: Plan) -> dict[str, str]:
    """Return model -> how its frozen text encoder reads the captions of training images."""
    stages = plan.by_key()
    found: dict[str, str] = {}
    for cell in plan.cells:
        denoiser = stages.get(cell.stages.get("denoiser", ""))
        text = _described(denoiser, stages) if denoiser else None
        if text:
            found[cell.model] = text
    return found


def _described(denoiser: Stage, stages: Mapping[str, Stage]) -> str | None:
    params = denoiser.params
    if not isinstance(params, TrainedDenoiser) or params.section.text_encoder is None:
        return None
    kept = KEPT_BYTES >> 30
    item = denoiser.inputs.get("contexts")
    if item is None:
        count = denoiser.inputs["images"].count or 0
        return (
            f"contexts of {count:,} captions would take more than {kept} GiB: each batch is encoded"
            " anew in training"
        )
    below = stages[item.key]
    assert isinstance(below.params, ContextsParams)
    count = item.count or 0
    size = count * bytes_of(below.params)
    return (
        f"contexts of {count:,} captions, {below.params.tokens} x {below.params.width} each, take"
        f" {_gibibytes(size)} at most: encoded once (above {kept} GiB: anew in each batch)"
    )


def _gibibytes(size: float) -> str:
    """Return a size in GiB, or in MiB where it is small."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**27 else f"{size / 2**20:.1f} MiB"

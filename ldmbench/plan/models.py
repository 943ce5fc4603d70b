"""Model of a point -> stages: its first stage and its denoiser, trained here or from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ldmbench.canonical import digest_file
from ldmbench.plan.contexts import FrozenTexts
from ldmbench.plan.estimate import stage_cost
from ldmbench.plan.expand import Point
from ldmbench.plan.ledger import RECONSTRUCTION_BATCH, SHARD, aligned, items, whole
from ldmbench.plan.shared import Shared
from ldmbench.plan.starts import Starts
from ldmbench.plan.training import as_computed, remarks_on
from ldmbench.schema.local import Local
from ldmbench.schema.models import (
    OPEN_CLIP,
    AutoencoderParams,
    DenoiserParams,
    FirstStageModel,
    LdmModel,
)
from ldmbench.schema.params import (
    IdentityStage,
    LatentsParams,
    ShippedStage,
    TrainedDenoiser,
    TrainedStage,
)
from ldmbench.schema.stage import Input, Stage
from ldmbench.schema.weights import shipped_first_stage

MEASURED_IMAGES = 64
"""On which the scale of latents is measured that no file states."""


@dataclass
class ModelStages:
    """Plans the stages of models."""

    shared: Shared

    @cached_property
    def starts(self) -> Starts:
        """Where trainings start."""
        return Starts(self.shared.suite, self.shared.folder)

    @cached_property
    def texts(self) -> FrozenTexts:
        """What plans the contexts of captions."""
        return FrozenTexts(self.shared.folder, self.shared.images.digests, self.shared.ledger)

    def first_stage(self, point: Point) -> Stage:
        """Plan a first stage that no denoiser stands on."""
        if isinstance(point.spec, FirstStageModel):
            return self._autoencoder(point.spec.autoencoder, point, self.shared.images.train(point))
        traits = self.shared.about(point)
        assert traits.autoencoder is not None
        return self.shared.ledger.add("autoencoder", traits.autoencoder, {}, local=traits.local)

    def both(self, point: Point) -> tuple[Stage, Stage]:
        """Plan the first stage and the denoiser of a point."""
        spec = point.spec
        if not isinstance(spec, LdmModel):
            return self._foreign(point)
        train = self.shared.images.train(point)
        autoencoder = self._autoencoder(spec.autoencoder, point, train)
        inputs = {"autoencoder": whole(autoencoder), "images": items(train)}
        latents = self._latents(spec, point, autoencoder, train)
        contexts = self.texts.of_training(spec.denoiser, train)
        inputs |= {"latents": items(latents)} if latents else {}
        inputs |= {"contexts": items(contexts)} if contexts else {}
        local = self._start(point, inputs)
        section, remarks = self._section(spec, inputs)
        if remarks:
            local = local.model_copy(update={"assumed": (*local.assumed, *remarks)})
        section, where = self._with_text(section, encodes=contexts is None)
        params = TrainedDenoiser(section=section, budget=spec.budget)
        local = local.model_copy(update=where)
        return autoencoder, self.shared.ledger.add("denoiser", params, inputs, local=local)

    def _latents(
        self, spec: LdmModel, point: Point, autoencoder: Stage, train: Stage
    ) -> Stage | None:
        """Plan latents of training images; None where the denoiser is trained on pixels."""
        first, traits = spec.autoencoder, self.shared.about(point)
        if traits.regularization is None:
            return None
        keyed = LatentsParams(
            micro_batch=RECONSTRUCTION_BATCH,
            posterior=first.latents if traits.regularization == "kl" else "sample",
            flip=first.flip,
        )
        inputs = {"autoencoder": whole(autoencoder), "images": aligned(train)}
        return self.shared.ledger.add("latents", keyed, inputs, shard=SHARD, count=train.count)

    def _section(
        self, spec: LdmModel, inputs: dict[str, Input]
    ) -> tuple[DenoiserParams, tuple[str, ...]]:
        """Return how a denoiser is trained, compiled or not, and what to know of that."""
        params = TrainedDenoiser(section=spec.denoiser, budget=spec.budget)
        stage = Stage(kind="denoiser", key="", params=params, inputs=inputs, version=0)
        flops = stage_cost(stage, self.shared.ledger.stages).flops
        section = spec.denoiser.model_copy(update={"keep_state": False})  # no part of the key
        section = as_computed(section, flops, may_compile=self.shared.may_compile)
        remarks = remarks_on(spec.autoencoder, section, stated=spec.denoiser.compile, flops=flops)
        return section, tuple(remarks)

    def _with_text(
        self, section: DenoiserParams, *, encodes: bool
    ) -> tuple[DenoiserParams, dict[str, object]]:
        """Return a section with digests for paths of vocabulary or text encoder, and the paths.

        Args:
            section: of a denoiser.
            encodes: whether its training reads captions by the text encoder.
        """
        where: dict[str, object] = {}
        named: dict[str, str] = {}
        encoder = self.texts.encoder(section)
        if encoder:
            named["text_encoder"] = self.texts.digest(encoder)
            where = {"text": str(encoder.place), "bytes": encoder.bytes if encodes else 0}
        elif section.vocabulary not in (None, OPEN_CLIP):
            place = (self.shared.folder / str(section.vocabulary)).resolve()
            named["vocabulary"], where = digest_file(place), {"text": str(place)}
        kept = {field: f"sha256:{found}" for field, found in named.items()}
        return section.model_copy(update=kept), where

    def _start(self, point: Point, inputs: dict[str, Input]) -> Local:
        """Add the model that a training starts from to its inputs; return what it needs to run."""
        source = self.starts.source(point)
        kept = isinstance(point.spec, LdmModel) and point.spec.denoiser.keep_state
        if source is None:
            return Local(keep_state=kept)
        _, denoiser = self.both(source)
        inputs["init"] = whole(denoiser)
        traits = self.shared.about(source)
        where = f"weights {traits.digest[:8]}" if traits.digest else denoiser.label
        text = f"training starts from the weights of {source.model} ({where})"
        return Local(load=traits.local.load, assumed=(text,), keep_state=kept)

    def _foreign(self, point: Point) -> tuple[Stage, Stage]:
        """Plan a model that is not trained here: two artefacts that only say what it is."""
        traits = self.shared.about(point)
        assert traits.autoencoder is not None
        assert traits.denoiser is not None
        local = None if traits.is_called else traits.local
        autoencoder = self.shared.ledger.add("autoencoder", traits.autoencoder, {}, local=local)
        inputs = {"autoencoder": whole(autoencoder)}
        return autoencoder, self.shared.ledger.add(
            "denoiser", traits.denoiser, inputs, local=traits.local
        )

    def _autoencoder(self, section: AutoencoderParams, point: Point, train: Stage) -> Stage:
        """Plan a first stage: the identity, one that ships, lies on disk, or is to be trained."""
        side, traits = point.data.resolution, self.shared.about(point)
        if traits.autoencoder is not None:
            measured = {"images": items(train, min(MEASURED_IMAGES, train.count or 1))}
            inputs = measured if traits.is_measured else {}
            return self.shared.ledger.add(
                "autoencoder", traits.autoencoder, inputs, local=traits.stage_local
            )
        if section.f == 1:
            return self.shared.ledger.add("autoencoder", IdentityStage(f=1, resolution=side), {})
        if section.weights:
            row = shipped_first_stage(section.f, section.regularization)
            kept = ShippedStage(
                f=row.f,
                regularization=row.regularization,
                weights=row.name,
                digest=row.digest,
                resolution=side,
            )
            return self.shared.ledger.add("autoencoder", kept, {})
        trained = TrainedStage(section=section.trained, resolution=side)
        return self.shared.ledger.add("autoencoder", trained, {"images": items(train)})

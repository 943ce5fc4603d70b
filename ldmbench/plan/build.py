"""Points -> stages: equal keys merge, so shared work is planned once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ldmbench.errors import SuiteError
from ldmbench.plan.digests import Digests
from ldmbench.plan.expand import Point, points
from ldmbench.plan.fit import Fit
from ldmbench.plan.guides import Guides
from ldmbench.plan.images import Images
from ldmbench.plan.minimum_samples import check_enough
from ldmbench.plan.models import ModelStages
from ldmbench.plan.own import score_name
from ldmbench.plan.reconstructed import asks_reconstructions, coder_speed, first_stage_scores
from ldmbench.plan.sample_scores import SampleScores
from ldmbench.plan.sampled import Below, Sampled
from ldmbench.plan.shared import Shared
from ldmbench.plan.size import too_large
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.stage import Cell, Plan, Role, Stage
from ldmbench.suite.load import LoadedSuite
from ldmbench.suite.protocols import first_pinned, largest_count, protocols_of
from ldmbench.suite.sampling import check_kind


def build_plan(loaded: LoadedSuite, *, cache: Path | None = None, may_compile: bool = True) -> Plan:
    """Return the cells of a checked suite and the stages under them.

    Args:
        loaded: a suite whose names and shapes are right.
        cache: a folder for remembered digests of image folders; content is hashed once.
        may_compile: false trains no network compiled, whatever the suite and its FLOPs say.

    Raises:
        SuiteError: fewer samples or real images than a metric needs, more than a plan may have, or
            data that lack the conditions of a model.
    """
    protocols = protocols_of(loaded.written)
    images = Images(loaded.written, loaded.path.parent, Digests(cache), protocols)
    shared = Shared(loaded.written, loaded.path.parent, protocols, images, may_compile)
    builder = _Builder(shared)
    wanted = points(loaded.written, loaded.path.parent)
    fit = Fit(loaded.written, images, shared.about, builder.models.starts)
    fit.check(wanted, loaded.places)
    cells = tuple(builder.cell(point) for point in wanted)
    plan = Plan(
        suite=loaded.name,
        suite_digest=loaded.digest,
        metrics=tuple(score_name(name) for name in loaded.written.metrics),
        probes=loaded.written.probes,
        price_per_device_hour=loaded.written.speed.price_per_device_hour,
        v100_factor=loaded.written.speed.v100_factor,
        protocols=protocols,
        cells=cells,
        choose=loaded.written.choose,
        stages=shared.ledger.finished(),
        splits=fit.splits(wanted),
        cautions={point.id: tuple(fit.cautions(point)) for point in wanted},
    )
    large = too_large(plan.stages)
    if large:
        raise SuiteError([loaded.places.problem((), large)])
    check_enough(plan, loaded)
    return plan


@dataclass
class _Builder:
    shared: Shared

    @cached_property
    def models(self) -> ModelStages:
        """Plans stages of models."""
        return ModelStages(self.shared)

    @cached_property
    def guides(self) -> Guides:
        """Finds the models that guide others."""
        return Guides(self.models.starts, self.shared.about)

    @cached_property
    def scores(self) -> SampleScores:
        """Plans scores of samples."""
        return SampleScores(self.shared)

    def cell(self, point: Point) -> Cell:
        """Plan every stage one cell needs."""
        shared = self.shared
        if point.sample is None:
            return self._alone(point)
        traits = shared.about(point)
        sample = self._sample(point, point.sample)
        if not traits.is_own:
            check_kind(point.id, sample.sampler, is_flow=traits.is_flow)
        autoencoder, denoiser = self.models.both(point)
        conditions = shared.conditions(point, sample)
        guide = self.guides.guide(point, sample)
        guided = None if guide is None else (guide, *self.models.both(guide.point))
        guiding = guided[2] if guided else None
        contexts = self.models.texts.of_prompts(denoiser, guiding, conditions)
        below = Below(autoencoder, denoiser, conditions, traits.local, guided, contexts)
        sampled = Sampled(shared)
        samples = sampled.samples(point, below, sample)
        made = {"autoencoder": autoencoder, "denoiser": denoiser, "samples": samples}
        roles = {Role(kind): stage for kind, stage in made.items()}
        choose, asked = shared.suite.choose, point.sample.count
        if choose and sample.seed in choose.seeds:
            roles |= self.scores.one(point, samples, choose.metric, asked=asked)
        else:
            choose = None
            roles |= self.scores.all(point, samples, conditions, asked=asked)
            if asks_reconstructions(shared.suite):
                roles |= first_stage_scores(shared, point, autoencoder)
            roles |= sampled.probed(point, below, sample)
        return self._cell(
            point,
            roles,
            conditioning=traits.task or traits.conditioning,
            sampler=sample.sampler,
            steps=sample.steps,
            step_unit=traits.step_unit,
            eta=sample.eta,
            guidance=sample.guidance,
            guidance_interval=sample.guidance_interval,
            guidance_model=guide.name if guide else None,
            progress=sample.checkpoint,
            sample_seed=sample.seed,
            count=sample.count or 0,
            chooses=choose.axis if choose else None,
            timesteps=sample.timesteps,
            quantize=sample.quantize,
            size=None if sample.size == "1" else sample.size,
        )

    def _alone(self, point: Point) -> Cell:
        """Plan every stage of a first stage alone."""
        autoencoder = self.models.first_stage(point)
        roles = {Role("autoencoder"): autoencoder}
        roles |= first_stage_scores(self.shared, point, autoencoder)
        roles |= coder_speed(self.shared, point, autoencoder)
        count = max(s.count or 0 for s in roles.values() if s.kind == "reconstructions")
        return self._cell(point, roles, count=count, latents=self.shared.about(point).latents)

    def _cell(self, point: Point, roles: Mapping[Role, Stage], **sampling: Any) -> Cell:
        """Return a cell of its stages, and of fields that say how it is sampled."""
        traits = self.shared.about(point)
        return Cell(
            id=point.id,
            model=point.model,
            dataset=point.dataset,
            axes=dict(point.axes),
            data_kind=point.data.kind,
            resolution=point.data.resolution,
            f=traits.f,
            regularization=traits.regularization,
            train_seed=traits.train_seed,
            weights=traits.weights,
            weights_from=traits.weights_from,
            first_stage_from=traits.first_stage_from,
            null_class=traits.null_class,
            given=dict(traits.given),
            digest=traits.digest,
            stages={str(role): stage.key for role, stage in roles.items()},
            **sampling,
        )

    def _sample(self, point: Point, sample: SampleParams) -> SampleParams:
        """Return how a point is sampled: as the suite says, else its protocols, else the model."""
        traits = self.shared.about(point)
        open_: dict[str, int | str | None] = {
            "count": largest_count(self.shared.protocols, sample.count)
        }
        for name in ("timesteps", "quantize"):
            if getattr(sample, name) is None and not traits.is_own:
                open_[name] = first_pinned(self.shared.protocols, name)
        return traits.settled(sample.model_copy(update=open_))

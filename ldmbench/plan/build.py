"""Points -> stages: equal keys merge, so shared work is planned once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ldmbench.canonical import digest_file
from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.measures import PROBES
from ldmbench.catalog.metrics import METRICS, RECONSTRUCTED, SCORABLE, Family, Metric, truth_role
from ldmbench.errors import SuiteError
from ldmbench.plan.digests import Digests
from ldmbench.plan.estimate import stage_cost
from ldmbench.plan.expand import Point, points
from ldmbench.plan.fit import Fit
from ldmbench.plan.images import Images
from ldmbench.plan.ledger import (
    SHARD,
    Ledger,
    aligned,
    items,
    score_params,
    whole,
)
from ldmbench.plan.minimum_samples import check_enough
from ldmbench.plan.own import Asked, metric_inputs, own_code, score_name
from ldmbench.plan.size import too_large
from ldmbench.plan.starts import Starts
from ldmbench.plan.training import as_computed, remarks_on
from ldmbench.plan.traits import Traits, traits_of
from ldmbench.schema.local import Local
from ldmbench.schema.models import OPEN_CLIP, DenoiserParams, FirstStageSection, LdmModel
from ldmbench.schema.params import (
    CodingParams,
    DrawnClasses,
    IdentityStage,
    LatentsParams,
    OwnScoresParams,
    ReconstructionsParams,
    SamplesParams,
    ShippedStage,
    SpeedParams,
    TrainedDenoiser,
    TrainedStage,
    ValidationParams,
)
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.stage import Cell, Input, Plan, Role, Stage
from ldmbench.schema.suite import Suite
from ldmbench.schema.weights import shipped_first_stage
from ldmbench.sources.models.text_encoders import text_encoder
from ldmbench.suite.load import LoadedSuite
from ldmbench.suite.protocols import count_for, first_pinned, largest_count, protocols_of
from ldmbench.suite.sampling import check_kind, is_uneven

CODING_IMAGES = 64
VALIDATION_IMAGES, VALIDATION_TIMES = 256, 8
MEASURED_IMAGES = 64
"""On which the scale of latents is measured that no file states."""
ROLES = ("generated", "reference")
DRAWN: dict[str, DrawnClasses] = {"balanced": "balanced", "random": "random"}
"""What a protocol may say of the classes of samples, but for those of the images."""
RECONSTRUCTION_BATCH = 32
_SPEED = [row for row in PROBES.values() if row.stage == "speed"]
TIMED, COUNTED = ({row.name for row in _SPEED if row.timed is timed} for timed in (True, False))
"""Probes of the stage speed that need times, and those that do not."""


def build_plan(loaded: LoadedSuite, *, cache: Path | None = None, may_compile: bool = True) -> Plan:
    """Return the cells of a checked suite and the stages under them.

    Args:
        loaded: a suite whose names and shapes are right.
        cache: a folder for remembered digests of image folders; content is hashed once.
        may_compile: false trains no network compiled, whatever the suite and its FLOPs say.

    Raises:
        SuiteError: fewer samples or real images than a metric needs, more than a plan may have, or
            data that cannot tell a model what it is to be told.
    """
    protocols = protocols_of(loaded.written)
    images = Images(loaded.written, loaded.path.parent, Digests(cache), protocols)
    builder = _Builder(loaded.written, loaded.path.parent, protocols, images, may_compile)
    wanted = points(loaded.written, loaded.path.parent)
    fit = Fit(loaded.written, images, builder.about, builder.starts)
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
        stages=builder.ledger.finished(),
        splits=fit.splits(wanted),
        cautions={point.id: tuple(fit.cautions(point)) for point in wanted},
    )
    large = too_large(plan.stages)
    if large:
        raise SuiteError([loaded.places.problem((), large)])
    check_enough(plan, loaded)
    return plan


@dataclass(frozen=True)
class _Below:
    """What stands below samples, speed and coding: a model, and what it is told."""

    autoencoder: Stage
    denoiser: Stage
    conditions: Stage | None
    local: Local

    def inputs(self) -> dict[str, Input]:
        """Return the model as inputs of a stage."""
        return {"autoencoder": whole(self.autoencoder), "denoiser": whole(self.denoiser)}


@dataclass
class _Builder:
    suite: Suite
    folder: Path
    protocols: tuple[Protocol, ...]
    images: Images
    may_compile: bool
    traits: dict[tuple[str, str], Traits] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)

    @cached_property
    def starts(self) -> Starts:
        """Where trainings start."""
        return Starts(self.suite, self.folder)

    @property
    def ledger(self) -> Ledger:
        """Where the stages are."""
        return self.images.ledger

    def cell(self, point: Point) -> Cell:
        """Plan every stage one cell needs."""
        traits = self.about(point)
        sample = self._sample(point)
        if not traits.is_own:
            check_kind(point.id, sample.sampler, is_flow=traits.is_flow)
        autoencoder, denoiser = self._model(point)
        conditions = self._conditions(point, sample)
        below = _Below(autoencoder, denoiser, conditions, traits.local)
        uneven = not traits.is_own and is_uneven(sample, T=traits.T)
        rounded = sample.guidance != 1 or sample.precision != "float32"
        one_batch = isinstance(point.spec, LdmModel) and rounded
        told = traits.conditioning
        samples = self._samples(below, sample, uneven=uneven, one_batch=one_batch, told=told)
        made = {"autoencoder": autoencoder, "denoiser": denoiser, "samples": samples}
        roles = {Role(kind): stage for kind, stage in made.items()}
        for protocol in self.protocols:
            roles |= self._scores(point, samples, protocol)
            roles |= self._own(point, samples, protocol)
            if conditions and traits.conditioning == "truth":
                roles |= self._against(point, conditions, samples, protocol)
        if "reconstruction" in self.suite.probes:
            for protocol in self.protocols:
                roles |= self._first_stage(point, autoencoder, protocol)
        if "coding" in self.suite.probes and not traits.is_own:
            roles[Role("coding")] = self._coding(point, below)
        if "validation_loss" in self.suite.probes and not traits.is_own:
            roles[Role("validation_loss")] = self._validation(point, below)
        if {*TIMED, *COUNTED} & set(self.suite.probes):
            roles[Role("speed")] = self._speed(point, below, sample)
        return Cell(
            id=point.id,
            model=point.model,
            dataset=point.dataset,
            axes=dict(point.axes),
            data_kind=point.data.kind,
            resolution=point.data.resolution,
            conditioning=traits.task or traits.conditioning,
            f=traits.f,
            regularization=traits.regularization,
            sampler=sample.sampler,
            steps=sample.steps,
            eta=sample.eta,
            guidance=sample.guidance,
            guidance_interval=sample.guidance_interval,
            progress=sample.checkpoint,
            train_seed=traits.train_seed,
            sample_seed=sample.seed,
            count=sample.count or 0,
            timesteps=sample.timesteps,
            quantize=sample.quantize,
            weights=traits.weights,
            weights_from=traits.weights_from,
            first_stage_from=traits.first_stage_from,
            null_class=traits.null_class,
            given=dict(traits.given),
            digest=traits.digest,
            stages={str(role): stage.key for role, stage in roles.items()},
        )

    def about(self, point: Point) -> Traits:
        """Return what is known of a point's model; each is looked at once."""
        key = (point.model, point.dataset)
        if key not in self.traits:
            side = point.data.resolution
            self.traits[key] = traits_of(
                point.spec, self.folder, self.images.digests, resolution=side
            )
        return self.traits[key]

    def _sample(self, point: Point) -> SampleParams:
        """Return how a point is sampled: as the suite says, else its protocols, else the model."""
        sample, traits = point.sample, self.about(point)
        open_: dict[str, int | str | None] = {"count": largest_count(self.protocols, sample.count)}
        for name in ("timesteps", "quantize"):
            if getattr(sample, name) is None and not traits.is_own:
                open_[name] = first_pinned(self.protocols, name)
        return traits.settled(sample.model_copy(update=open_))

    def _model(self, point: Point) -> tuple[Stage, Stage]:
        spec = point.spec
        if not isinstance(spec, LdmModel):
            return self._foreign(point)
        train = self.images.train(point)
        images = items(train)
        autoencoder = self._autoencoder(spec.autoencoder, point, train)
        inputs = {"autoencoder": whole(autoencoder), "images": images}
        first, traits = spec.autoencoder, self.about(point)
        if traits.regularization is not None:
            keyed = LatentsParams(
                micro_batch=RECONSTRUCTION_BATCH,
                posterior=first.latents if traits.regularization == "kl" else "sample",
                flip=first.flip,
            )
            latents = self.ledger.add(
                "latents",
                keyed,
                {"autoencoder": whole(autoencoder), "images": aligned(train)},
                shard=SHARD,
                count=train.count,
            )
            inputs["latents"] = items(latents)
        local = self._start(point, inputs)
        section, remarks = self._section(spec, inputs)
        if remarks:
            local = local.model_copy(update={"assumed": (*local.assumed, *remarks)})
        text = self._text(section)
        if text:
            field, place, kept = text
            local = local.model_copy(update={"text": str(place)})
            section = section.model_copy(update={field: f"sha256:{kept}"})
        params = TrainedDenoiser(section=section, budget=spec.budget)
        return autoencoder, self.ledger.add("denoiser", params, inputs, local=local)

    def _section(
        self, spec: LdmModel, inputs: dict[str, Input]
    ) -> tuple[DenoiserParams, tuple[str, ...]]:
        """Return how a denoiser is trained, compiled or not, and what to know of that."""
        params = TrainedDenoiser(section=spec.denoiser, budget=spec.budget)
        stage = Stage(kind="denoiser", key="", params=params, inputs=inputs, version=0)
        flops = stage_cost(stage, self.ledger.stages).flops
        section = spec.denoiser.model_copy(update={"keep_state": False})  # no part of the key
        section = as_computed(section, flops, may_compile=self.may_compile)
        remarks = remarks_on(spec.autoencoder, section, stated=spec.denoiser.compile, flops=flops)
        return section, tuple(remarks)

    def _text(self, section: DenoiserParams) -> tuple[str, Path, str] | None:
        """Return field, place and digest of a vocabulary or text encoder; its path is in no key."""
        if section.text_encoder:
            encoder = text_encoder(section.text_encoder, self.folder)
            return "text_encoder", encoder.place, encoder.digest
        if section.vocabulary not in (None, OPEN_CLIP):
            place = (self.folder / str(section.vocabulary)).resolve()
            return "vocabulary", place, digest_file(place)
        return None

    def _start(self, point: Point, inputs: dict[str, Input]) -> Local:
        """Add the model that a training starts from to its inputs; return what it needs to run."""
        source = self.starts.source(point)
        kept = isinstance(point.spec, LdmModel) and point.spec.denoiser.keep_state
        if source is None:
            return Local(keep_state=kept)
        _, denoiser = self._model(source)
        inputs["init"] = whole(denoiser)
        traits = self.about(source)
        where = f"weights {traits.digest[:8]}" if traits.digest else denoiser.label
        text = f"training starts from the weights of {source.model} ({where})"
        return Local(load=traits.local.load, assumed=(text,), keep_state=kept)

    def _foreign(self, point: Point) -> tuple[Stage, Stage]:
        """Plan a model that is not trained here: two artefacts that only say what it is."""
        traits = self.about(point)
        assert traits.autoencoder is not None
        assert traits.denoiser is not None
        local = None if traits.is_called else traits.local
        autoencoder = self.ledger.add("autoencoder", traits.autoencoder, {}, local=local)
        inputs = {"autoencoder": whole(autoencoder)}
        return autoencoder, self.ledger.add("denoiser", traits.denoiser, inputs, local=traits.local)

    def _autoencoder(self, section: FirstStageSection, point: Point, train: Stage) -> Stage:
        """Plan a first stage: the identity, one that ships, lies on disk, or is to be trained."""
        side, traits = point.data.resolution, self.about(point)
        if traits.autoencoder is not None:
            measured = {"images": items(train, min(MEASURED_IMAGES, train.count or 1))}
            inputs = measured if traits.is_measured else {}
            return self.ledger.add(
                "autoencoder", traits.autoencoder, inputs, local=traits.stage_local
            )
        if section.f == 1:
            return self.ledger.add("autoencoder", IdentityStage(f=1, resolution=side), {})
        if section.weights:
            row = shipped_first_stage(section.f, section.regularization)
            kept = ShippedStage(
                f=row.f,
                regularization=row.regularization,
                weights=row.name,
                digest=row.digest,
                resolution=side,
            )
            return self.ledger.add("autoencoder", kept, {})
        trained = TrainedStage(section=section.trained, resolution=side)
        return self.ledger.add("autoencoder", trained, {"images": items(train)})

    def _conditions(self, point: Point, sample: SampleParams) -> Stage | None:
        """Captions and classes that prompt samples: those of images no model has trained on."""
        conditioning = self.about(point).conditioning
        if conditioning == "none":
            return None
        if conditioning == "truth":
            return self.images.truth(point, sample.count or 0)
        pinned = first_pinned(self.protocols, "classes") if conditioning == "class" else None
        classes = DRAWN.get(pinned or "")
        return self.images.prompts(point, sample.count or 0, classes=classes, seed=sample.seed)

    def _samples(
        self, below: _Below, sample: SampleParams, *, uneven: bool, one_batch: bool, told: str
    ) -> Stage:
        """Plan samples.

        Args:
            below: the model, and what it is told.
            sample: how they are drawn.
            uneven: timesteps do not lie T // steps apart, as they once were taken.
            one_batch: condition and null condition, once two batches, are one.
            told: what the model is conditioned on.
        """
        inputs = below.inputs()
        params = SamplesParams(
            sampler=sample.sampler,
            steps=sample.steps,
            eta=sample.eta,
            guidance=sample.guidance,
            guidance_interval=sample.guidance_interval,
            timesteps=sample.timesteps,
            precision=sample.precision,
            quantize=sample.quantize,
            seed=sample.seed,
            progress=sample.checkpoint,
            micro_batch=sample.micro_batch,
            step="to-next" if uneven else None,
            evaluation="one-batch" if one_batch else None,
        )
        if below.conditions:
            inputs["conditions"] = aligned(below.conditions)
        return self.ledger.add(
            "samples",
            params,
            inputs,
            shard=sample_shard(sample.micro_batch),
            count=sample.count,
            local=below.local.model_copy(update={"told": told}),
        )

    def _features(self, images: Stage, extractor: str, protocol: Protocol) -> Stage:
        if extractor not in EXTRACTORS:
            code = own_code(extractor, self.folder, self.images.digests, noun="extractors")
            return self.ledger.own_features(images, extractor, code)
        spatial = any(row.family.needs == "spatial" for row in self._rows())
        return self.ledger.features(images, extractor, protocol, spatial=spatial)

    def _scores(self, point: Point, samples: Stage, protocol: Protocol) -> dict[Role, Stage]:
        count = count_for(protocol, point.sample.count)
        real, held = self.images.reference(point, protocol)
        families = {row.family.name: row.family for row in self._rows()}
        roles: dict[Role, Stage] = {}
        for name, family in sorted(families.items()):
            if not _is_told(family, self.about(point).conditioning):
                continue
            extractor = family.extractor_of(protocol)
            inputs = {"generated": items(self._features(samples, extractor, protocol), count)}
            if family.against == "class":
                inputs["asked"] = items(samples, count)
            if family.has_reference:
                features = self._features(real, extractor, protocol)
                inputs["reference"] = items(features, held_to(family, protocol, held))
            if family.against == "training":
                seen = self.images.train(point)
                inputs["train"] = items(self._features(seen, extractor, protocol), seen.count)
            roles[Role(name, protocol.name)] = self.ledger.add(
                "scores", score_params(family, protocol), inputs
            )
        return roles

    def _against(
        self, point: Point, truth: Stage, samples: Stage, protocol: Protocol
    ) -> dict[Role, Stage]:
        """Hold samples to what their conditions were made of: very images, boxes and maps."""
        count = min(samples.count or 0, truth.count or 0)
        roles: dict[Role, Stage] = {}
        for family in self._pair_families() if self.about(point).told_image else ():
            sides = [samples, truth]
            if family.needs == "features":
                sides = [self._features(s, protocol.extractor, protocol) for s in sides]
            inputs = dict(zip(ROLES, (items(side, count) for side in sides), strict=True))
            roles[Role(truth_role(family), protocol.name)] = self.ledger.add(
                "scores", score_params(family, protocol), inputs
            )
        for family in {row.family.name: row.family for row in self._rows()}.values():
            if family.against == "scene":
                inputs = {"generated": items(samples, count), "reference": items(truth, count)}
                roles[Role(family.name, protocol.name)] = self.ledger.add(
                    "scores", score_params(family, protocol), inputs
                )
        return roles

    def _rows(self) -> list[Metric]:
        """Return the metrics of the catalog that the suite names."""
        return [METRICS[name] for name in self.suite.metrics if name in METRICS]

    def _pair_families(self) -> list[Family]:
        """Return the families of pairs: those that always come, and those that are asked for."""
        rows = [row for row in SCORABLE.values() if row.family.against == "pair"]
        meant = [row for row in rows if not row.in_suite or row.name in self.suite.metrics]
        return list({row.family.name: row.family for row in meant}.values())

    def _asked(self, metric: str) -> Asked:
        if metric not in self.asked:
            self.asked[metric] = metric_inputs(metric, self.folder)
        return self.asked[metric]

    def _own(self, point: Point, samples: Stage, protocol: Protocol) -> dict[Role, Stage]:
        """Plan metrics of the user's own: each is handed what its arguments name."""
        count, roles = count_for(protocol, point.sample.count), dict[Role, Stage]()
        for number, name in enumerate(n for n in self.suite.metrics if n not in METRICS):
            code = own_code(name, self.folder, self.images.digests, noun="metrics")
            asked = self._asked(name)
            real, held = self.images.reference(point, protocol)
            sides = {"generated": (samples, count), "reference": (real, held)}
            inputs: dict[str, Input] = {}
            for role, (side, kind) in asked.roles.items():
                stage, most = sides[side]
                if kind == "features":
                    stage = self._features(stage, protocol.extractor, protocol)
                inputs[role] = items(stage, most)
            params = OwnScoresParams(
                family="own", target=name, digest=code.digest, confidence=protocol.confidence
            )
            local = Local(call=code, reads=asked.reads)
            roles[Role(f"own{number}", protocol.name)] = self.ledger.add(
                "scores", params, inputs, local=local
            )
        return roles

    def _first_stage(
        self, point: Point, autoencoder: Stage, protocol: Protocol
    ) -> dict[Role, Stage]:
        traits = self.about(point)
        if traits.regularization is None:
            return {}
        reference = self.images.held_out(point, protocol, self.suite.reconstruction_count)
        assert reference is not None  # as `check` saw to it
        count = min(self.suite.reconstruction_count, reference.count or 0)
        made = self.ledger.add(
            "reconstructions",
            ReconstructionsParams(micro_batch=RECONSTRUCTION_BATCH, quantize=traits.quantize),
            {"autoencoder": whole(autoencoder), "images": aligned(reference)},
            shard=SHARD,
            count=count,
            local=traits.local,
        )
        pair = {"generated": items(made, count), "reference": items(reference, count)}
        features = {
            "generated": items(self._features(made, protocol.extractor, protocol), count),
            "reference": items(self._features(reference, protocol.extractor, protocol), count),
        }
        families = {name: (row.family, features) for name, row in RECONSTRUCTED.items()}
        families |= {
            family.name: (family, features if family.needs == "features" else pair)
            for family in self._pair_families()
        }
        roles = {
            # Reconstruction i is of reference i: shards of both hold the same items.
            Role(role, protocol.name): self.ledger.add(
                "scores", score_params(family, protocol, paired=role in RECONSTRUCTED), inputs
            )
            for role, (family, inputs) in families.items()
        }
        return {Role("reconstructions"): made, **roles}

    def _coding(self, point: Point, below: _Below) -> Stage:
        inputs = {**below.inputs(), "images": self._held_out(point, CODING_IMAGES)}
        params = CodingParams(progress=point.sample.checkpoint)
        return self.ledger.add("coding", params, inputs, local=below.local)

    def _validation(self, point: Point, below: _Below) -> Stage:
        inputs = {**below.inputs(), "images": self._held_out(point, VALIDATION_IMAGES)}
        params = ValidationParams(progress=point.sample.checkpoint, times=VALIDATION_TIMES)
        return self.ledger.add("coding", params, inputs, local=below.local)

    def _held_out(self, point: Point, most: int) -> Input:
        """Return images that no model trains on, `most` of them at the most."""
        reference = self.images.held_out(point, self.protocols[0], most)
        assert reference is not None  # as `check` saw to it
        return items(reference, min(most, reference.count or 0))

    def _speed(self, point: Point, below: _Below, sample: SampleParams) -> Stage:
        """Plan one measurement for all sample seeds, told what seed 0 is told."""
        inputs = below.inputs()
        conditions = self._conditions(point, sample.model_copy(update={"seed": 0}))
        if conditions:
            inputs["conditions"] = items(conditions, self.suite.speed.batch)
        settings, probes = self.suite.speed, set(self.suite.probes)
        timed = bool(TIMED & probes)  # without, there is no warm-up and no yardstick
        params = SpeedParams(
            sampler=sample.sampler,
            steps=sample.steps,
            eta=sample.eta,
            guidance=sample.guidance,
            guidance_interval=sample.guidance_interval,
            timesteps=sample.timesteps,
            precision=sample.precision,
            batch=settings.batch,
            repeats=settings.repeats,
            only=None if timed else tuple(sorted(COUNTED & probes)),
        )
        return self.ledger.add("speed", params, inputs, local=below.local)


def _is_told(family: Family, conditioning: str) -> bool:
    """Tell whether samples of a conditioning have what a family of scores of samples compares."""
    told = {
        "caption": ("caption",),
        "class": ("class", "caption", "truth"),
        "pair": (),
        "scene": (),
    }
    return conditioning in told.get(family.against, (conditioning,))


def held_to(family: Family, protocol: Protocol, count: int) -> int:
    """Return m: how many of the reference images a family's samples are compared with."""
    part = getattr(protocol, family.part) if family.part else None
    return min(count, part) if part else count


def sample_shard(micro_batch: int) -> int:
    """Return the samples in one shard: whole micro-batches, 64 or more."""
    return micro_batch * max(1, -(-64 // micro_batch))

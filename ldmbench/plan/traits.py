"""What a plan must know of a model, whatever its kind: trained here, loaded, or called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ldmbench.catalog.tasks import CONDITIONINGS, TASKS, task_of_kind
from ldmbench.plan.digests import Digests
from ldmbench.plugin_files import step_unit
from ldmbench.schema.local import NOWHERE, Code, LoadedFrom, Local, OwnCall, PlannedFacts
from ldmbench.schema.models import (
    CallModel,
    FirstStageModel,
    FirstStageSection,
    LatentRule,
    LdmModel,
    LoadModel,
    Model,
    ModelFacts,
)
from ldmbench.schema.params import (
    CalledDenoiser,
    CalledStage,
    IdentityStage,
    LoadedDenoiser,
    LoadedStage,
    Quantize,
    TakenStage,
)
from ldmbench.schema.sample import Interval, SampleParams
from ldmbench.sources.models.peek import model_digest, tokenizer_digest
from ldmbench.suite.alone import codes
from ldmbench.suite.first_stages import taken_from
from ldmbench.suite.models import facts_of, model_place, place_of
from ldmbench.suite.sampling import own_rule


@dataclass(frozen=True)
class Traits:
    """What cells and keys say of a model.

    Attributes:
        f: downsampling factor; None of code that is called.
        regularization: of its first stage; None where there is none.
        conditioning: none, class, caption or truth.
        task: a row of TASKS; None of code that is called, which does not say.
        timesteps: its own step rule; None is the sampler's own.
        T: its training timesteps.
        is_flow: whether its forward process is a flow, in continuous time.
        interval: times at which it is guided, unless the suite says others; None is all.
        quantize: its own rule from [-1, 1] to 0..255; None of code that states none.
        weights: ema or raw, of a loaded model.
        weights_from: their file and entry, of a loaded model.
        first_stage_from: what a first stage from disk is, under a denoiser that is trained here.
        latents: of a KL alone, what of its posterior is decoded; None leaves it to protocols.
        null_class: the label for "no class", of a loaded model that has one.
        given: how the condition is made of a real image, of a loaded model that takes one.
        digest: of a loaded model or of code that is called.
        autoencoder: keyed parameters of its autoencoder stage, where it is not trained here.
        stage_local: what that stage needs to run, where its denoiser is trained here.
        is_measured: the scale of its latents is measured on training images.
        denoiser: those of its denoiser stage.
        local: what its stages need to run, no part of any key.
    """

    f: int | None
    regularization: str | None
    conditioning: str
    task: str | None = None
    timesteps: str | None = "leading"
    T: int = 1000
    is_flow: bool = False
    interval: Interval | None = None
    quantize: Quantize | None = "round"
    train_seed: int = 0
    weights: str | None = None
    weights_from: str | None = None
    first_stage_from: str | None = None
    latents: str | None = None
    null_class: int | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    autoencoder: IdentityStage | LoadedStage | TakenStage | CalledStage | None = None
    stage_local: Local = NOWHERE
    is_measured: bool = False
    denoiser: LoadedDenoiser | CalledDenoiser | None = None
    local: Local = NOWHERE

    @property
    def is_called(self) -> bool:
        """Tell whether it is the user's own code, which is sampled and no more."""
        return self.local.call is not None

    @property
    def step_unit(self) -> Literal["steps", "evaluations"]:
        """What `steps` count: evaluations where the user's own code says so."""
        call = self.local.call
        return "evaluations" if call and call.step_unit == "evaluations" else "steps"

    @property
    def is_own(self) -> bool:
        """Tell whether it samples by itself: the user's own code, or a pipeline from disk."""
        return self.is_called or self.local.own is not None

    @property
    def takes_image(self) -> bool:
        """Tell whether samples have a very image that they should come near to."""
        return bool(self.given) or (self.is_called and self.conditioning == "truth")

    def settled(self, sample: SampleParams) -> SampleParams:
        """Fill in the model's own rules where the suite leaves them open."""
        if self.is_called:
            return sample.model_copy(update={"quantize": self.quantize})
        if self.is_own:
            return sample
        rules: dict[str, object] = {"timesteps": self.timesteps, "quantize": self.quantize}
        rules["guidance_interval"] = self.interval
        open_ = {name: rule for name, rule in rules.items() if getattr(sample, name) is None}
        if self.is_flow:
            open_["timesteps"] = None  # which a flow does not have
        if sample.guidance == 1:
            open_["guidance_interval"] = None
        return sample.model_copy(update=open_)


def traits_of(spec: Model, folder: Path, digests: Digests, *, resolution: int = 0) -> Traits:
    """Return the traits of a model.

    Args:
        spec: one point of a model of the suite.
        folder: of the suite file.
        digests: of the plan.
        resolution: of the dataset it is crossed with.

    Raises:
        InputError: if it is not on disk, or cannot be read.
    """
    if isinstance(spec, FirstStageModel):
        return _alone(spec)
    if isinstance(spec, LoadModel):
        return _loaded(spec, folder, digests.cache, resolution)
    if isinstance(spec, CallModel):
        return _called(spec, folder, digests, resolution)
    return _trained(spec, folder, digests.cache, resolution)


def _alone(spec: FirstStageModel) -> Traits:
    section = spec.autoencoder
    return Traits(
        f=section.f,
        regularization=section.regularization,
        conditioning="none",
        timesteps=None,
        train_seed=section.train_seed,
        latents=section.latents,
    )


def _trained(spec: LdmModel, folder: Path, cache: Path | None, resolution: int) -> Traits:
    f, task = spec.autoencoder.f, TASKS[spec.denoiser.conditioning]
    own = Traits(
        f=f,
        regularization=None if f == 1 else spec.autoencoder.regularization,
        conditioning=task.input,
        task=task.name,
        given={name: _text(getattr(spec.denoiser, name)) for name in task.given},
        timesteps=own_rule(spec.denoiser),
        T=1 if spec.denoiser.objective == "regression" else spec.denoiser.timesteps,
        is_flow=spec.denoiser.objective == "flow",
        interval=spec.guidance_interval,
        train_seed=spec.denoiser.train_seed,
    )
    taken = taken_from(spec.autoencoder)
    return _above(own, spec.autoencoder, taken, folder, cache, resolution) if taken else own


def _above(
    own: Traits,
    section: FirstStageSection,
    taken: LoadModel,
    folder: Path,
    cache: Path | None,
    resolution: int,
) -> Traits:
    """Return the traits of a model whose first stage lies on disk."""
    facts = facts_of(taken, folder)
    rule = facts.latents
    assert rule is not None  # as `check_first_stages` saw to it
    config = place_of(taken.config, folder)
    digest = model_digest(model_place(taken.path, folder), cache, config=config, ema=taken.ema)
    stage = TakenStage(
        f=rule.f,
        taken=digest,
        channels=rule.channels,
        regularization=facts.regularization,
        resolution=resolution,
        codebook=facts.codebook,
        scale=section.scale,
        weights="ema" if facts.stage_weights == "ema" else None,
        ignore=tuple(sorted(section.ignore)),
    )
    unscaled = rule.scale is None or bool(rule.assumed)
    local = Local(
        load=_place(taken, folder, digest),
        assumed=rule.assumed if unscaled and section.scale is None else (),
        bytes=facts.bytes,
    )
    return replace(
        own,
        f=rule.f,
        regularization=facts.regularization,
        autoencoder=stage,
        stage_local=local,
        is_measured=rule.scaled_by == "images" and section.scale is None,
        first_stage_from=_described(facts, rule, section.scale),
    )


def _described(facts: ModelFacts, rule: LatentRule, stated: float | None) -> str:
    """Return what was read of a first stage, in a line."""
    scale = rule.scale if stated is None else stated
    by = {"images": "measured", "weights": "in its weights"}.get(rule.scaled_by, "")
    moved = ", shifted" if rule.mean else ""
    own = f"{facts.weights_from} ({facts.stage_weights}), {facts.source}"
    return (
        f"{f'that of {facts.source}' if facts.samples else own}: f = {rule.f},"
        f" {rule.channels} channels, scale {by if scale is None else f'{scale:g}'}{moved}"
    )


def _place(spec: LoadModel, folder: Path, digest: str) -> LoadedFrom:
    """Return where a model lies and how it is read."""
    config, tokenizer = place_of(spec.config, folder), place_of(spec.tokenizer, folder)
    return LoadedFrom(
        path=str(model_place(spec.path, folder)),
        digest=digest,
        config=None if config is None else str(config),
        tokenizer=None if tokenizer is None else str(tokenizer),
        ema=spec.ema,
        ignore=spec.ignore,
        null_class=spec.null_class,
        guided_channels=spec.guided_channels,
    )


def _loaded(spec: LoadModel, folder: Path, cache: Path | None, resolution: int) -> Traits:
    facts, path = facts_of(spec, folder), model_place(spec.path, folder)
    digest = model_digest(path, cache, config=place_of(spec.config, folder), ema=spec.ema)
    given = _given(spec, facts) if facts.samples else {}
    kind = None if facts.regularization == "pixel" else facts.regularization
    task = task_of_kind(facts.conditioning) if facts.samples else None
    return Traits(
        f=facts.f,
        regularization=kind,
        conditioning=CONDITIONINGS.get(facts.conditioning, facts.conditioning),
        task=task.name if task else None,
        timesteps=facts.timesteps,
        T=int(facts.scheduler.get("num_train_timesteps", 1000)),
        is_flow=bool(facts.flow),
        interval=spec.guidance_interval or facts.guidance_interval,
        quantize=facts.quantize,
        weights=facts.weights if facts.samples else facts.stage_weights,
        weights_from=facts.weights_from,
        latents=spec.latents,
        null_class=facts.null_class,
        given=given,
        digest=digest,
        autoencoder=_first_stage(spec, facts, digest, kind, resolution),
        denoiser=_denoiser(spec, facts, digest, given) if facts.samples else None,
        local=Local(
            load=_place(spec, folder, digest),
            own=OwnCall(side=resolution, call=spec.call) if facts.own else None,
            assumed=(*facts.assumed, *_left_out(facts)),
            given=given,
            facts=_planned(facts),
            bytes=facts.bytes,
        ),
    )


def _given(spec: LoadModel, facts: ModelFacts) -> dict[str, str]:
    """Return how the condition is made of a real image: as the suite says, its files, or usual."""
    task = task_of_kind(facts.conditioning)
    found: dict[str, str] = {}
    for name, usual in task.given.items() if task else ():
        said = getattr(spec, name)
        found[name] = facts.given.get(name, usual) if said is None else _text(said)
    return found


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_stage(
    spec: LoadModel, facts: ModelFacts, digest: str, kind: str | None, resolution: int
) -> LoadedStage:
    """Return what the first stage of a model from disk is keyed by."""
    return LoadedStage(
        f=facts.f,
        loaded=digest,
        regularization=kind,
        resolution=resolution,
        codebook=facts.codebook if kind == "vq" else None,
        weights="ema" if facts.stage_weights == "ema" else None,  # of one file, raw is another
        taken={"scaling_factor": facts.scale} if "scaling_factor" in facts.taken else {},
        ignore=tuple(sorted(spec.ignore)),
    )


def _denoiser(
    spec: LoadModel, facts: ModelFacts, digest: str, given: dict[str, str]
) -> LoadedDenoiser:
    """Return what the denoiser of a model from disk is keyed by."""
    return LoadedDenoiser(
        loaded=digest,
        weights=facts.weights,
        conditioning=facts.conditioning,
        null_class=facts.null_class,
        tokenizer=tokenizer_digest(Path(facts.tokenizer)) if facts.tokenizer else None,
        taken=facts.taken,
        guided_channels=spec.guided_channels,
        ignore=tuple(sorted(spec.ignore)),
        given=given,
        call=spec.call,
    )


def _planned(facts: ModelFacts) -> PlannedFacts:
    """Return what the worker compares the loaded model with."""
    return PlannedFacts(
        source=facts.source,
        f=facts.f,
        sides=facts.sides,
        conditioning=facts.conditioning,
        regularization=facts.regularization,
        quantize=facts.quantize,
        timesteps=facts.timesteps,
        weights=facts.weights,
        null_class=facts.null_class,
        scale=facts.scale,
    )


def _left_out(facts: ModelFacts) -> Iterator[str]:
    """Say which tensors of a checkpoint are not read, beside those of training losses."""
    unused = [row for row in facts.left_out if "loss.*" not in row]
    if unused:
        yield f"tensors of {facts.weights_from} that are not used: {', '.join(unused)}"


def _called(spec: CallModel, folder: Path, digests: Digests, resolution: int) -> Traits:
    digest = digests.plugin(spec.target, folder.resolve(), "models", spec.files)
    alone = codes(spec, folder)
    identity = IdentityStage(f=1, resolution=resolution)
    called = CalledDenoiser(
        called=spec.target,
        digest=digest,
        options=spec.options,
        conditioning=spec.conditioning,
        resolution=resolution,
    )
    code = Code(
        target=spec.target,
        folder=str(folder.resolve()),
        digest=digest,
        options=spec.options,
        files=spec.files,
        conditioning=spec.conditioning,
        resolution=resolution,
        step_unit=step_unit(spec.target, folder.resolve()),
    )
    return Traits(
        f=None,
        regularization="ae" if alone else None,
        conditioning=spec.conditioning,
        task=spec.task,
        timesteps=None,
        quantize=spec.quantize,
        digest=digest,
        autoencoder=_called_stage(spec, digest, resolution) if alone else identity,
        denoiser=None if alone else called,
        local=Local(call=code),
    )


def _called_stage(spec: CallModel, digest: str, resolution: int) -> CalledStage:
    return CalledStage(
        called=spec.target, digest=digest, options=spec.options, resolution=resolution
    )

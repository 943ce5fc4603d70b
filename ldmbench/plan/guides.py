"""Autoguidance: which model guides another, and whether it can (arXiv:2406.02507)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ldmbench.errors import InputError
from ldmbench.plan.expand import Point
from ldmbench.plan.images import plain_name
from ldmbench.plan.starts import Starts
from ldmbench.plan.traits import Traits
from ldmbench.sample.flow import Flow
from ldmbench.sample.objectives import flow_of, schedule_of
from ldmbench.sample.processes import why_not_alike
from ldmbench.sample.schedule import Schedule
from ldmbench.schema.local import LoadedFrom
from ldmbench.schema.models import CallModel, LdmModel, LoadModel
from ldmbench.schema.sample import SampleParams
from ldmbench.suite.axes import many
from ldmbench.suite.models import facts_of
from ldmbench.suite.read import Loc
from ldmbench.suite.starts import source_named

__all__ = ["Guide", "Guides"]


@dataclass(frozen=True)
class Guide:
    """A model that guides another.

    Attributes:
        name: as the suite writes it.
        point: its own.
        progress: share of its training budget whose weights guide.
        load: where it lies, if it is not trained here.
    """

    name: str
    point: Point
    progress: float
    load: LoadedFrom | None


@dataclass
class Guides:
    """Finds the models that guide others.

    Attributes:
        starts: finds models by name.
        traits: says what is known of a point's model.
    """

    starts: Starts
    traits: Callable[[Point], Traits]

    def guide(self, point: Point, sample: SampleParams) -> Guide | None:
        """Return what guides the samples of a point; None: nothing, or the model itself.

        Args:
            point: of a cell.
            sample: how it is sampled; at guidance 1 nothing guides.
        """
        return None if sample.guidance == 1 else self._named(point)

    def problems(self, point: Point) -> Iterator[tuple[Loc, str]]:
        """Yield why the model that a point names cannot guide it."""
        written = getattr(point.spec, "guidance_model", None)
        if written is None:
            return
        try:
            guide = self._named(point)
            assert guide is not None
            text = self._unused() or self._unfit(point, guide)
        except InputError as error:
            text = str(error)
        if text:
            place = ("models", plain_name(point.model), "guidance_model")
            yield place, f"found '{written}', {text}"

    def _named(self, point: Point) -> Guide | None:
        written = getattr(point.spec, "guidance_model", None)
        if written is None:
            return None
        name, at, share = written.rpartition("@")
        progress = _share(share) if at and source_named(name, self.starts.suite.models) else None
        found = self.starts.named(written if progress is None else name, point)
        return Guide(written, found, progress or 1.0, self.traits(found).local.load)

    def _unused(self) -> str | None:
        if set(many(self.starts.suite.sample.guidance)) == {1}:
            return "which guides nothing at guidance 1; write sample.guidance, or leave it out"
        return None

    def _unfit(self, point: Point, guide: Guide) -> str | None:
        """Return why a model cannot guide a point's, in words that follow its name."""
        ours, theirs = self.traits(point), self.traits(guide.point)
        spec = guide.point.spec
        if ours.is_own:
            return "but this model samples by itself; leave it out"
        if isinstance(spec, CallModel) or theirs.is_own:
            return "which samples by itself; allowed: a model whose denoiser can be asked"
        if isinstance(spec, LoadModel) and not facts_of(spec, self.starts.folder).samples:
            return "which is a first stage without a denoiser; allowed: a diffusion model"
        kept = {1.0, *(spec.denoiser.checkpoints if isinstance(spec, LdmModel) else ())}
        if guide.progress not in kept:
            shares = ", ".join(f"{share:g}" for share in sorted(kept))
            return f"which has the checkpoints {shares} alone; add it to its denoiser.checkpoints"
        return self._other(point, guide.point)

    def _other(self, point: Point, guide: Point) -> str | None:
        """Return where latents, conditions or forward processes of two models differ."""
        ours, theirs = self.traits(point), self.traits(guide)
        sides = point.data.resolution, guide.data.resolution
        need = "; a model is guided by one of the same latents, conditions and forward process"
        if sides[0] != sides[1]:
            return f"which is of {sides[1]} pixels, not {sides[0]}{need}"
        if ours.task != theirs.task:
            return f"whose conditioning is {theirs.task}, not {ours.task}{need}"
        if ours.f != theirs.f or ours.regularization != theirs.regularization:
            stages = (f"f = {t.f} ({t.regularization or 'pixels'})" for t in (theirs, ours))
            return f"whose first stage has {', not '.join(stages)}{need}"
        specs = point.spec, guide.spec
        if isinstance(specs[0], LdmModel) and isinstance(specs[1], LdmModel):
            if specs[0].autoencoder != specs[1].autoencoder:
                return f"whose autoencoder is another one{need}; name it in autoencoder.of"
            if ours.task == "superresolution" and (
                specs[0].denoiser.scale != specs[1].denoiser.scale
            ):
                return f"whose denoiser.scale is another one{need}"
        why = why_not_alike(self._process(point), self._process(guide))
        return f"but {why}{need}" if why else None

    def _process(self, point: Point) -> Schedule | Flow:
        """Return the forward process of a model that is trained here or loaded."""
        spec = point.spec
        if isinstance(spec, LdmModel):
            return schedule_of(spec.denoiser) or flow_of(spec.denoiser) or Flow()
        assert isinstance(spec, LoadModel)
        facts = facts_of(spec, self.starts.folder)
        return Flow.of(facts.flow) if facts.flow else Schedule.from_config(facts.process)


def _share(text: str) -> float | None:
    """Return a share in (0, 1], or None where the text is none."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 < found <= 1 else None

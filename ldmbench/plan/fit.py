"""Whether the data of a suite fit its models and probes, and what to know where they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ldmbench.catalog.metrics import METRICS
from ldmbench.errors import SuiteError
from ldmbench.plan import enlarged, judges
from ldmbench.plan.conditions import ConditionChecks, Problem
from ldmbench.plan.expand import Point
from ldmbench.plan.guides import Guides
from ldmbench.plan.images import HELD_OUT, Images, plain_name
from ldmbench.plan.starts import Starts
from ldmbench.plan.traits import Traits
from ldmbench.schema.models import LdmModel, LoadModel
from ldmbench.schema.stage import Splits
from ldmbench.schema.suite import Suite
from ldmbench.suite.problems import Places
from ldmbench.suite.protocols import largest_count, pinned
from ldmbench.suite.sampling import why_not_guided
from ldmbench.words import plural

__all__ = ["Fit"]


@dataclass
class Fit:
    """Holds the data of each point to its model, its probes and its protocols.

    Attributes:
        suite: as written.
        images: where datasets lie and how they are split.
        traits: says what is known of a point's model.
        starts: finds the model that a training starts from.
    """

    suite: Suite
    images: Images
    traits: Callable[[Point], Traits]
    starts: Starts

    @cached_property
    def tellers(self) -> ConditionChecks:
        """Where captions and classes are counted."""
        draws = bool(pinned(self.images.protocols, "classes"))
        return ConditionChecks(self.suite, self.images, draws)

    def check(self, wanted: Sequence[Point], places: Places) -> None:
        """Refuse models and probes that a dataset has not the images, captions or classes for.

        Raises:
            SuiteError: with all problems in one pass.
        """
        found = dict.fromkeys(
            problem
            for point in wanted
            for problem in (
                *self._untold(point),
                *self._unheld(point),
                *self._unguided(point),
                *self.starts.problems(point),
                *enlarged.problems(point, self.traits(point)),
                *Guides(self.starts, self.traits).problems(point),
            )
        )
        if found:
            raise SuiteError([places.problem(loc, text) for loc, text in found])

    def splits(self, wanted: Sequence[Point]) -> dict[str, Splits]:
        """Return the sizes of the splits of each dataset."""
        return {point.dataset: self.images.splits(point) for point in wanted}

    def cautions(self, point: Point) -> Iterator[str]:
        """Yield what to know of the data of a cell."""
        rows = [METRICS[name] for name in self.suite.metrics if name in METRICS]
        asked = any(row.family.against == "caption" for row in rows)
        clips = [p.clip for p in self.images.protocols] if asked else ()
        yield from self.tellers.cautions(
            point,
            self.traits(point).conditioning,
            self._count(point),
            clips=tuple(dict.fromkeys(clips)),
        )
        yield from enlarged.cautions(point, self.traits(point), self.suite.sample)
        yield from judges.cautions(self.suite, self.images, point, self.traits(point).conditioning)
        yield from self._larger(point)
        yield from self._remarks(point)

    def _untold(self, point: Point) -> Iterator[Problem]:
        conditioning = self.traits(point).conditioning
        return self.tellers.problems(point, conditioning, self._count(point))

    def _unheld(self, point: Point) -> Iterator[Problem]:
        """Yield the probes that a dataset has no image for which no model trains on."""
        traits = self.traits(point)
        denoises = point.sample is not None and not traits.is_own
        asks = {"coding": denoises, "validation_loss": denoises}
        asks["reconstruction"] = traits.regularization is not None and point.sample is not None
        yield from self._unreconstructed(point, traits)
        yield from self._without_neighbours(point, traits)
        for position, probe in enumerate(self.suite.probes):
            if asks.get(probe) and not any(self.images.held(point, split) for split in HELD_OUT):
                name = plain_name(point.dataset)
                yield (
                    ("probes", position),
                    f"{probe} needs images that no model trains on, and data.{name} has none;"
                    f" allowed: data.{name}.reference or data.{name}.validation of 1 or more",
                )

    def _unguided(self, point: Point) -> Iterator[Problem]:
        """Yield guidance of a model that has none: of the cells that are left."""
        if point.sample is None or point.sample.guidance == 1:
            return
        traits, loaded = self.traits(point), isinstance(point.spec, LoadModel)
        null = traits.null_class if loaded and traits.task == "class" else 0
        if getattr(point.spec, "guidance_model", None):
            return
        reason = why_not_guided((traits.conditioning,), null)
        if reason:
            name, guidance = plain_name(point.model), point.sample.guidance
            yield ("sample", "guidance"), f"found {guidance:g}, but models.{name} {reason}"

    def _unreconstructed(self, point: Point, traits: Traits) -> Iterator[Problem]:
        """Yield what asks for reconstructions of unseen images, where a dataset has none."""
        if any(self.images.held(point, split) for split in HELD_OUT):
            return
        name, model = plain_name(point.dataset), plain_name(point.model)
        allowed = f"allowed: data.{name}.reference or data.{name}.validation of 1 or more"
        if point.sample is None:
            yield (
                ("models", model),
                "a first stage alone is measured on images that no model trains on, and"
                f" data.{name} has none; {allowed}",
            )
        elif traits.regularization is not None:
            for position, metric in enumerate(self.suite.metrics):
                if metric in METRICS and not METRICS[metric].in_suite:
                    yield (
                        ("metrics", position),
                        f"{metric} needs images that no model trains on, and data.{name} has none;"
                        f" {allowed}",
                    )

    def _without_neighbours(self, point: Point, traits: Traits) -> Iterator[Problem]:
        """Yield metrics of near training latents of which there are too few."""
        name, train = plain_name(point.dataset), self.images.training_size(point)
        for position, metric in enumerate(self.suite.metrics):
            row = METRICS.get(metric)
            if row and traits.regularization is not None and train < row.near:
                yield (
                    ("metrics", position),
                    f"{metric} looks for neighbours among training latents, and data.{name} has"
                    f" {plural(train, 'training image')}; allowed: data.{name}.train of {row.near}"
                    " or more",
                )

    def _larger(self, point: Point) -> Iterator[str]:
        """Say that there are more reference images than a model is trained on."""
        if not isinstance(point.spec, LdmModel):
            return
        train = self.images.training_size(point)
        for protocol in self.images.protocols:
            _, count = self.images.reference_size(point, protocol)
            if count > train:
                yield (
                    f"the reference of {protocol.name} has {count:,} images of"
                    f" data.{plain_name(point.dataset)}, more than the {train:,} that models train"
                    " on"
                )

    def _remarks(self, point: Point) -> Iterator[str]:
        """Yield what of a folder is left out, or read in another way than folders alone say."""
        source = self.images.source(point.data)
        if source:
            name = plain_name(point.dataset)
            yield from (f"data.{name}: {remark}" for remark in source.listing().said)

    def _count(self, point: Point) -> int:
        if point.sample is None:
            return 0
        return largest_count(self.images.protocols, point.sample.count)

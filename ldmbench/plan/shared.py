"""What the planners of a suite's stages share: the suite, its images, facts of its models."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ldmbench.catalog.extractors import EXTRACTORS
from ldmbench.catalog.metrics import METRICS, SCORABLE, Family, Metric
from ldmbench.plan.expand import Point
from ldmbench.plan.images import Images
from ldmbench.plan.ledger import Ledger, items
from ldmbench.plan.own import own_code
from ldmbench.plan.traits import Traits, traits_of
from ldmbench.schema.params import DrawnClasses
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.sample import SampleParams
from ldmbench.schema.stage import Input, Stage
from ldmbench.schema.suite import Suite
from ldmbench.suite.protocols import first_pinned

DRAWN: dict[str, DrawnClasses] = {"balanced": "balanced", "random": "random"}
"""What a protocol may say of the classes of samples, but for those of the images."""


@dataclass
class Shared:
    """A suite under planning.

    Attributes:
        suite: as written.
        folder: of the suite file.
        protocols: under which cells are scored.
        images: where datasets lie and how they are split; it holds the ledger of stages.
        may_compile: false trains no network compiled.
        traits: of models, by model and dataset.
    """

    suite: Suite
    folder: Path
    protocols: tuple[Protocol, ...]
    images: Images
    may_compile: bool = True
    traits: dict[tuple[str, str], Traits] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        """Where the stages are."""
        return self.images.ledger

    def about(self, point: Point) -> Traits:
        """Return what is known of a point's model; each is looked at once."""
        key = (point.model, point.dataset)
        if key not in self.traits:
            side = point.data.resolution
            self.traits[key] = traits_of(
                point.spec, self.folder, self.images.digests, resolution=side
            )
        return self.traits[key]

    def conditions(self, point: Point, sample: SampleParams) -> Stage | None:
        """Captions and classes that prompt samples: those of images no model has trained on."""
        conditioning = self.about(point).conditioning
        if conditioning == "none":
            return None
        if conditioning == "truth":
            return self.images.truth(point, sample.count or 0)
        pinned = first_pinned(self.protocols, "classes") if conditioning == "class" else None
        classes = DRAWN.get(pinned or "")
        return self.images.prompts(point, sample.count or 0, classes=classes, seed=sample.seed)

    def features(
        self, images: Stage, extractor: str, protocol: Protocol, *, patches: str = "1"
    ) -> Stage:
        """Plan what an extractor sees in images, or in one of the patches of each."""
        if extractor not in EXTRACTORS:
            code = own_code(extractor, self.folder, self.images.digests, noun="extractors")
            return self.ledger.own_features(images, extractor, code, patches=patches)
        spatial = any(row.family.needs == "spatial" for row in self.rows())
        return self.ledger.features(images, extractor, protocol, spatial=spatial, patches=patches)

    def rows(self) -> list[Metric]:
        """Return the metrics of samples in the catalog that the suite names."""
        named = (METRICS[name] for name in self.suite.metrics if name in METRICS)
        return [row for row in named if not row.of]

    def pair_families(self) -> list[Family]:
        """Return the families of pairs: those that always come, and those that are asked for."""
        rows = [row for row in SCORABLE.values() if row.family.against == "pair"]
        meant = [row for row in rows if not row.in_suite or row.name in self.suite.metrics]
        return list({row.family.name: row.family for row in meant}.values())

    def held_out(self, point: Point, most: int) -> Input:
        """Return images that no model trains on, `most` of them at the most."""
        reference = self.images.held_out(point, self.protocols[0], most)
        assert reference is not None  # as `check` saw to it
        return items(reference, min(most, reference.count or 0))

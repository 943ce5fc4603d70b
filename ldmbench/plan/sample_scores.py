"""Samples -> scores of every metric of a suite, under each protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ldmbench.catalog.metrics import METRICS, Family, truth_role
from ldmbench.errors import InputError
from ldmbench.plan.expand import Point
from ldmbench.plan.judges import judged
from ldmbench.plan.ledger import items, score_params
from ldmbench.plan.own import Asked, metric_inputs, own_code
from ldmbench.plan.shared import Shared
from ldmbench.schema.local import Local
from ldmbench.schema.params import OwnScoresParams
from ldmbench.schema.protocol import Protocol
from ldmbench.schema.stage import Input, Role, Stage
from ldmbench.suite.protocols import count_for

ROLES = ("generated", "reference")


@dataclass
class SampleScores:
    """Plans the scores of samples."""

    shared: Shared
    asked: dict[str, Asked] = field(default_factory=dict)

    def all(
        self, point: Point, samples: Stage, conditions: Stage | None, *, asked: int | None
    ) -> dict[Role, Stage]:
        """Plan every score of a cell's samples; `asked` is how many the suite asks for."""
        roles: dict[Role, Stage] = {}
        for protocol in self.shared.protocols:
            count = count_for(protocol, asked)
            roles |= self._scores(point, samples, count, protocol)
            roles |= self._own(point, samples, count, protocol)
            if conditions and self.shared.about(point).conditioning == "truth":
                roles |= self._against(point, conditions, samples, protocol)
        return roles

    def one(
        self, point: Point, samples: Stage, metric: str, *, asked: int | None
    ) -> dict[Role, Stage]:
        """Plan the scores of the family of one metric, under the first protocol."""
        protocol = self.shared.protocols[0]
        family = METRICS[metric].family
        count = count_for(protocol, asked)
        return self._scores(point, samples, count, protocol, {family.name: family})

    def _scores(
        self,
        point: Point,
        samples: Stage,
        count: int,
        protocol: Protocol,
        families: Mapping[str, Family] | None = None,
    ) -> dict[Role, Stage]:
        real, held = self.shared.images.reference(point, protocol)
        if families is None:
            families = {row.family.name: row.family for row in self.shared.rows()}
        roles: dict[Role, Stage] = {}
        for name, family in sorted(families.items()):
            if not _takes(family, self.shared.about(point).conditioning):
                continue
            if family.against == "validation":
                roles[Role(name, protocol.name)] = self._ratio(
                    point, samples, count, protocol, family
                )
                continue
            extractor = family.extractor_of(protocol)
            # The class of an image is that of all of it.
            size = "1" if family.against == "class" else point.size
            seen = self.shared.features(samples, extractor, protocol, patches=size)
            inputs = {"generated": items(seen, count)}
            if family.against == "class":
                inputs["asked"] = items(samples, count)
            if family.has_reference:
                features = self.shared.features(real, extractor, protocol)
                inputs["reference"] = items(features, held_to(family, protocol, held))
            if family.against == "training":
                train = self.shared.images.train(point)
                features = self.shared.features(train, extractor, protocol)
                inputs["train"] = items(features, train.count)
            roles[Role(name, protocol.name)] = self.shared.ledger.add(
                "scores", score_params(family, protocol), inputs
            )
        return roles

    def _ratio(
        self, point: Point, samples: Stage, count: int, protocol: Protocol, family: Family
    ) -> Stage:
        """Plan a score of samples, the reference and validation images in several spaces.

        Roles of the spaces after the first have their number behind a colon.

        Raises:
            InputError: the data hold no validation images, which the normalisers are made of.
        """
        images, params = self.shared.images, score_params(family, protocol)
        real, held = images.reference(point, protocol)
        sides = {"generated": (samples, count), "reference": (real, held)}
        if protocol.fdr_normalisers == "validation":
            unseen = images.validation(point, protocol, count)
            if unseen is None:
                raise InputError(
                    f"data.{point.dataset}: {family.name} under {protocol.name} divides by the"
                    " distance of validation images, and there are none; set `validation: N`"
                )
            sides["validation"] = (unseen, unseen.count or 0)
        inputs: dict[str, Input] = {}
        for number, extractor in enumerate(family.extractors_of(protocol)):
            for role, (stage, most) in sides.items():
                size = point.size if role == "generated" else "1"
                features = self.shared.features(stage, extractor, protocol, patches=size)
                inputs[f"{role}:{number}" if number else role] = items(features, most)
        return self.shared.ledger.add("scores", params, inputs)

    def _against(
        self, point: Point, truth: Stage, samples: Stage, protocol: Protocol
    ) -> dict[Role, Stage]:
        """Hold samples to what their conditions were made of: very images, boxes and maps."""
        count = min(samples.count or 0, truth.count or 0)
        roles: dict[Role, Stage] = {}
        for family in self.shared.pair_families() if self.shared.about(point).takes_image else ():
            sides = [samples, truth]
            if family.needs == "features":
                size = point.size
                sides = [
                    self.shared.features(side, protocol.extractor, protocol, patches=size)
                    for side in sides
                ]
            inputs = dict(zip(ROLES, (items(side, count) for side in sides), strict=True))
            roles[Role(truth_role(family), protocol.name)] = self.shared.ledger.add(
                "scores", score_params(family, protocol), inputs
            )
        for family in {row.family.name: row.family for row in self.shared.rows()}.values():
            if family.against == "scene":
                inputs = {"generated": items(samples, count), "reference": items(truth, count)}
                params, local = score_params(family, protocol), Local()
                if family.shapes and point.data.kind != "shapes":
                    found = judged(self.shared, point, family, protocol)
                    if found is None:
                        continue
                    params, local = found
                roles[Role(family.name, protocol.name)] = self.shared.ledger.add(
                    "scores", params, inputs, local=local
                )
        return roles

    def _own(
        self, point: Point, samples: Stage, count: int, protocol: Protocol
    ) -> dict[Role, Stage]:
        """Plan metrics of the user's own: each is handed what its arguments name."""
        roles = dict[Role, Stage]()
        for number, name in enumerate(n for n in self.shared.suite.metrics if n not in METRICS):
            code = own_code(name, self.shared.folder, self.shared.images.digests, noun="metrics")
            asked = self._asked(name)
            real, held = self.shared.images.reference(point, protocol)
            sides = {"generated": (samples, count), "reference": (real, held)}
            inputs: dict[str, Input] = {}
            for role, (side, kind) in asked.roles.items():
                stage, most = sides[side]
                if kind == "features":
                    size = point.size if side == "generated" else "1"
                    stage = self.shared.features(stage, protocol.extractor, protocol, patches=size)
                inputs[role] = items(stage, most)
            params = OwnScoresParams(
                family="own", target=name, digest=code.digest, confidence=protocol.confidence
            )
            local = Local(call=code, reads=asked.reads)
            roles[Role(f"own{number}", protocol.name)] = self.shared.ledger.add(
                "scores", params, inputs, local=local
            )
        return roles

    def _asked(self, metric: str) -> Asked:
        if metric not in self.asked:
            self.asked[metric] = metric_inputs(metric, self.shared.folder)
        return self.asked[metric]


def _takes(family: Family, conditioning: str) -> bool:
    """Tell whether samples of a conditioning have what a family of scores of samples compares."""
    allowed = {
        "caption": ("caption",),
        "class": ("class", "caption", "truth"),
        "pair": (),
        "scene": (),
        "latents": (),
    }
    return conditioning in allowed.get(family.against, (conditioning,))


def held_to(family: Family, protocol: Protocol, count: int) -> int:
    """Return m: how many of the reference images a family's samples are compared with."""
    part = getattr(protocol, family.part) if family.part else None
    return min(count, part) if part else count

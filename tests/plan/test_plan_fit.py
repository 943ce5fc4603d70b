"""What is measured never changes what is trained: probes and metrics take what the splits hold."""

from typing import get_args

import numpy as np
import pytest

from ldmbench.catalog.metrics import IN_SUITE
from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.schema.params import NeighboursParams
from ldmbench.schema.suite import Probe
from ldmbench.suite.load import load_suite

TRAINED = ("dataset", "autoencoder", "latents", "denoiser")
SUITE = """
suite: fit
protocol: {base: shapes-v1, reference_split: SPLIT}
data: {d: {kind: folder, path: d.npz, resolution: 32, validation: 8}}
models: {m: {autoencoder: {f: 4}, denoiser: {channels: 8, conditioning: none}, budget: {steps: 2}}}
sample: {steps: 2, count: 32}
metrics: [fid]
probes: []
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    np.savez(folder / "d.npz", np.zeros((64, 32, 32, 3), np.uint8))
    return folder


def plan_of(source, split, *sets):
    file = source / "suite.yaml"
    file.write_text(SUITE.replace("SPLIT", split))
    return build_plan(load_suite(file, sets))


def trained(plan):
    """Return the keys and counts of everything that models are trained on and become."""
    return {
        (s.key, s.count)
        for s in plan.stages
        if s.kind in TRAINED
        and (s.kind != "dataset" or s.params.keyed()["split"] == "train")
        and not isinstance(s.params, NeighboursParams)  # distances that a metric asks for
    }


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_metric_and_no_probe_changes_what_is_trained(source, split):
    before = trained(plan_of(source, split))
    assert {count for _, count in before if count} == {56}
    for probe in get_args(Probe):
        assert trained(plan_of(source, split, f"probes=[{probe}]")) == before, probe
    for metric in IN_SUITE:
        more = f"metrics=[fid,{metric}]"
        assert trained(plan_of(source, split, more, "probes=[reconstruction]")) == before, metric


def test_probes_take_validation_images_where_no_reference_is_held_out(source):
    plan = plan_of(source, "train", "probes=[reconstruction,coding]")
    stages = plan.by_key()
    (made,) = (s for s in plan.stages if s.kind == "reconstructions")
    assert (made.count, stages[made.inputs["images"].key].params.keyed()["split"]) == (
        8,
        "validation",
    )
    (coded,) = (s for s in plan.stages if s.kind == "coding")
    assert coded.inputs["images"].count == 8
    own = plan_of(source, "train", "probes=[reconstruction]", "data.d.reference=20")
    (made,) = (s for s in own.stages if s.kind == "reconstructions")
    held = own.by_key()[made.inputs["images"].key]
    assert (held.count, held.params.keyed()["split"]) == (20, "reference")


@pytest.mark.parametrize("probe", ["reconstruction", "coding"])
def test_a_probe_without_held_out_images_is_refused(source, probe):
    with pytest.raises(SuiteError, match="has none; allowed"):
        plan_of(source, "train", f"probes=[{probe}]", "data.d.validation=0")
    plan_of(source, "train", "probes=[throughput,device_days]", "data.d.validation=0")


def test_what_is_counted_has_a_key_of_its_own_and_what_is_timed_keeps_its(source):
    def speed(probes):
        stages = plan_of(source, "train", f"probes={probes}").stages
        return next(s for s in stages if s.kind == "speed")

    assert speed("[flops]").params.keyed()["only"] == ["flops"]
    assert speed("[memory, flops, device_days]").params.keyed()["only"] == ["flops", "memory"]
    assert "only" not in speed("[flops, latency]").params.keyed()
    assert speed("[throughput]").key == speed("[flops, memory, energy]").key

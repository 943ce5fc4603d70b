"""What a plan says a suite will take: weights and FLOPs as those of the networks themselves."""

from types import SimpleNamespace

import pytest
import tiny

from ldmbench.models.autoencoder import build_first_stage, coding_flops
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import Denoiser
from ldmbench.models.files import blank
from ldmbench.plan import networks
from ldmbench.plan.build import build_plan
from ldmbench.plan.estimate import RATES, flops_per_second, stage_cost
from ldmbench.schema.models import AutoencoderParams, DenoiserParams
from ldmbench.suite.load import load_suite


@pytest.mark.parametrize(
    ("side", "fields"),
    [
        (32, {"channels": 32, "conditioning": "none"}),
        (16, {"channels": 64, "blocks": 2, "attention_sizes": (16, 8)}),
        (8, {"channels": 64, "conditioning": "class", "multipliers": (1, 3)}),
        (16, {"channels": 64, "scale_shift": True, "resblock_updown": True, "blocks": 2}),
        (16, {"channels": 64, "conditioning": "none", "resblock_updown": True, "heads": 4}),
        (16, {"channels": 64, "transformer_depth": 3}),
        (16, {"network": "dit", "width": 128, "depth": 3, "conditioning": "class"}),
        (8, {"network": "dit", "width": 192, "patch": 1, "conditioning": "none"}),
        (8, {"channels": 64, "conditioning": "class", "inject": "add"}),
        (16, {"channels": 32, "conditioning": "superresolution", "scale": 2}),
        (16, {"channels": 64, "conditioning": "inpainting"}),
    ],
)
def test_the_layers_of_a_denoiser(side, fields):
    params = DenoiserParams(**fields)
    sizes = {"latent_channels": 4, "latent_size": side}
    brought = Brought(classes=10, objects=3, f=4)
    real = blank(lambda: Denoiser(params, **sizes, brought=brought))
    layers = networks.denoiser(params, side, 4, f=4)
    assert networks.weights(layers) == pytest.approx(real.parameter_count, rel=0.01)
    work = real.flops_per_image() + real.condition_flops()
    assert networks.flops(layers) == pytest.approx(work, rel=0.05)


@pytest.mark.parametrize(
    "fields", [{"f": 2}, {"f": 8, "regularization": "vq", "blocks": 2, "attention": True}]
)
def test_the_layers_of_a_first_stage(fields):
    params = AutoencoderParams(**fields)
    real = build_first_stage(params, seed=0).network
    sides = [side(params, 32) for side in (networks.encoder, networks.decoder)]
    found = sum(networks.weights(layers) for layers in sides)
    assert found == pytest.approx(real.num_parameters(), rel=0.01)
    for layers, work in zip(sides, coding_flops(params, 32), strict=True):
        assert networks.flops(layers) == pytest.approx(work, rel=0.05)


def test_disk_is_of_the_weights_their_kept_copies_and_the_state_of_training(tmp_path):
    file = tmp_path / "suite.yaml"
    file.write_text(
        "suite: big\ndata: {d: {kind: shapes, resolution: 64}}\n"
        "models: {m: {autoencoder: {f: 4}, budget: {flops: 1.0e+12},"
        " denoiser: {channels: 224, checkpoints: [0.5, 1.0]}}}\nmetrics: [fid]\n"
    )
    plan = build_plan(load_suite(file))
    stages = plan.by_key()
    (stage,) = (s for s in plan.stages if s.kind == "denoiser")
    cost = stage_cost(stage, stages)
    count = networks.weights(networks.denoiser(stage.params.section, 16, 3))
    assert count > 1.9e8
    assert cost.bytes == 4 * count * 4  # averaged and raw, of the end and of half the budget
    # weights, average and two moments, in the last two checkpoints and the next; half's two copies
    assert cost.scratch == 4 * count * (3 * 4 + 2)
    assert (cost.times(0).bytes, cost.times(0).scratch) == (0, 0)


def test_the_speed_of_a_device_is_that_of_stages_that_ran_on_its_like(tmp_path):
    """A history of the processor was taken for a GPU's."""
    suite = tiny.write_suite(tmp_path)
    stages = build_plan(load_suite(suite)).by_key()
    [key] = [key for key, stage in stages.items() if stage.kind == "denoiser"]
    flops = stage_cost(stages[key], stages).flops
    cpu = {"kind": "cpu", "processor": "EPYC"}
    gpu = {"kind": "cuda", "device": "NVIDIA H200", "processor": "EPYC"}
    ran = [
        SimpleNamespace(key=key, seconds=seconds, machine=machine)
        for seconds, machine in ((100.0, {**cpu, "device": "EPYC x 2 threads"}), (10.0, gpu))
    ]
    assert flops_per_second(ran, stages, cpu) == pytest.approx(flops / 100)
    assert flops_per_second(ran, stages, gpu) == pytest.approx(flops / 10)
    other = {**gpu, "device": "NVIDIA A100"}
    assert flops_per_second(ran, stages, other) == RATES["cuda"]
    assert flops_per_second(ran, stages, {**cpu, "processor": "Xeon"}) == RATES["cpu"]

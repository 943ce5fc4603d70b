from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ldmbench.data.shapes import render
from ldmbench.features.perceptual import PerceptualNet, load_perceptual
from ldmbench.models.denoiser import build_denoiser
from ldmbench.schema.models import Budget, DenoiserParams
from ldmbench.train.codebook import count_uses, place_codes
from ldmbench.train.discriminator import PatchDiscriminator, adaptive_weight, hinge_loss
from ldmbench.train.limit import limit_of
from ldmbench.train.schedules import linear_warmup


def test_budgets_become_whole_steps():
    def steps(**field):
        return limit_of(Budget(**field), batch=8, flops_per_image=100.0).steps

    assert steps(steps=7) == 7
    assert steps(images=80) == 10
    assert steps(flops=8000.0) == 10
    assert steps(images=1) == 1
    timed = limit_of(Budget(device_minutes=2), batch=8, flops_per_image=1.0)
    assert timed.steps is None
    assert timed.fraction(10, 30.0) == 0.25
    assert timed.fraction(10, 300.0) == 1.0


def test_warmup_is_linear():
    assert [linear_warmup(1.0, n, warmup=4) for n in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert linear_warmup(3.0, 0, warmup=0) == 3.0


def test_adaptive_weight_balances_gradients():
    last = nn.Parameter(torch.ones(4))
    weight = adaptive_weight(6 * last.sum(), 2 * last.sum(), last)
    assert weight == pytest.approx(3.0, rel=1e-3)


def test_discriminator_judges_patches():
    judge = PatchDiscriminator()
    x = torch.zeros(2, 3, 32, 32)
    assert judge(x).shape[:2] == (2, 1)
    assert judge(x).shape[2] > 1
    assert hinge_loss(torch.tensor([2.0]), torch.tensor([-2.0])) == 0
    assert hinge_loss(torch.tensor([0.0]), torch.tensor([0.0])) == 1


def test_unused_codes_move_to_latents_and_used_ones_stay():
    g = torch.Generator().manual_seed(0)
    z = torch.randn(2, 3, 4, 4, generator=g) + 10
    all_runs = nn.Parameter(torch.zeros(8, 3))
    uses = torch.zeros(8)
    count_uses(torch.tensor([[1, 1], [5, 1]]), uses)
    assert uses.tolist() == [0, 3, 0, 0, 0, 1, 0, 0]
    place_codes(all_runs, z, uses == 0, generator=g)
    assert all_runs[1].eq(0).all()
    assert all_runs[5].eq(0).all()
    moved = all_runs[uses == 0]
    assert torch.cdist(moved, z.permute(0, 2, 3, 1).reshape(-1, 3)).amin(1).max() < 0.2


def test_perceptual_distance_rises_with_blur_and_is_zero_on_equals():
    net = load_perceptual()
    images = render(np.arange(8), resolution=32).images
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert net(x, x).abs().max() == 0
    blurred = [nn.functional.avg_pool2d(x, k, 1, k // 2) for k in (3, 5, 7)]
    distances = [float(net(x, y).mean()) for y in blurred]
    assert distances == sorted(distances)
    assert distances[0] > 1e-3


def test_perceptual_weights_are_small_and_belong_to_the_network():
    from ldmbench.features.perceptual import WEIGHTS

    assert WEIGHTS.stat().st_size < 300_000
    assert isinstance(load_perceptual(), PerceptualNet)


def test_a_denoiser_learns_a_point():
    """The loss of a perfect predictor is 0; a few steps on one image must go far below 1."""
    from ldmbench.data.batches import BatchOrder
    from ldmbench.train.denoiser import DenoiserJob

    params = DenoiserParams(channels=8, conditioning="none", batch=16, learning_rate=3e-3, warmup=0)
    model = build_denoiser(params, latent_channels=1, latent_size=4, seed=0)
    point = SimpleNamespace(read=lambda indices: np.ones((16, 1, 4, 4), np.float32))
    job = DenoiserJob(
        params,
        model,
        images=None,
        latents=point,
        order=BatchOrder(16, batch_size=16, seed=0),
        device=torch.device("cpu"),
    )
    losses = [float(job.step(n, 0.0)) for n in range(60)]
    assert np.mean(losses[-10:]) < 0.5 < 0.8 < losses[0]


def test_perceptual_network_shares_no_weights_with_the_evaluators():
    from safetensors.torch import load_file

    from ldmbench.features.perceptual import WEIGHTS

    own = [t for t in load_file(WEIGHTS).values() if t.ndim > 1]
    evaluators = [p for p in WEIGHTS.parent.glob("*.safetensors") if p != WEIGHTS]
    assert {p.stem for p in evaluators} >= {"shapes-net", "shapes-clip"}
    for path in evaluators:
        for name, theirs in load_file(path).items():
            assert not any(t.shape == theirs.shape and torch.equal(t, theirs) for t in own), name

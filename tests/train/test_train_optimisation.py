"""Rates, clipping, precision, and batches that memory does not reach for."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file
from shadow import ShadowDevice
from test_train_stand_in import Latents, denoiser_job, first_stage_job, train_model

from ldmbench.errors import InputError
from ldmbench.schema.models import AutoencoderParams, DenoiserParams
from ldmbench.schema.optimisation import lack_of
from ldmbench.train.optimizer import bound_gradients
from ldmbench.train.schedules import falling

CPU = torch.device("cpu")


def weights_after(job, steps=4, *, fraction=0.6):
    losses = [float(job.step(n, fraction)) for n in range(steps)]
    module = getattr(job, "model", None) or job.network
    return losses, {name: p.detach().clone() for name, p in module.named_parameters()}


def gradients_after(job):
    """Return the gradients of a first stage's first step, its discriminator having joined."""
    job.step(0, 0.6)
    return {name: p.grad.cpu().clone() for name, p in job.network.named_parameters()}


def apart(ours, theirs):
    """Return the largest difference of two sets of tensors, as a share of the largest value."""
    largest = max(float(p.abs().max()) for p in ours.values())
    return max(float((p - theirs[n]).abs().max()) for n, p in ours.items()) / largest


def test_rates_fall_over_the_budget():
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [falling(1.0, x, schedule="linear") for x in shares] == [1, 0.75, 0.5, 0.25, 0]
    cosine = [falling(1.0, x, schedule="cosine") for x in shares]
    assert cosine == pytest.approx([1, 0.853553, 0.5, 0.146447, 0], abs=1e-6)
    job = denoiser_job(CPU, conditioning="none", schedule="linear", warmup=4, learning_rate=0.8)
    job.step(1, 0.5)
    assert job.rate == job.optimizer.param_groups[0]["lr"] == pytest.approx(0.8 * 0.5 * 0.5)


def test_two_falls_of_a_rate_are_refused():
    with pytest.raises(ValueError, match="write one of them"):
        AutoencoderParams(decay=0.5, schedule="cosine")


def test_clipped_gradients_have_the_norm_that_is_allowed():
    free = denoiser_job(CPU, conditioning="none")
    free.step(0, 0.0)
    norm = float(free.gradient_norm())
    job = denoiser_job(CPU, conditioning="none", clip=norm / 3)
    job.step(0, 0.0)
    assert float(job.gradient_norm()) == pytest.approx(norm)  # what it was before
    left = torch.cat([p.grad.flatten() for p in job.model.parameters()]).norm()
    assert float(left) == pytest.approx(norm / 3, rel=1e-4)


@pytest.mark.parametrize("most", [0.1, 3.0, 1e9])
def test_gradients_are_clipped_as_torch_clips_them(most):
    draw = torch.Generator().manual_seed(0)
    ours, theirs = ([torch.nn.Parameter(torch.zeros(5)) for _ in range(3)] for _ in range(2))
    for one, other in zip(ours, theirs):
        one.grad = torch.randn(5, generator=draw)
        other.grad = one.grad.clone()
    norm = bound_gradients(ours, most)
    assert torch.equal(norm, torch.nn.utils.clip_grad_norm_(theirs, most))
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(ours, theirs))


def test_optimiser_takes_weight_decay_and_betas():
    job = denoiser_job(CPU, conditioning="none", weight_decay=0.2, betas=[0.8, 0.95])
    group = job.optimizer.param_groups[0]
    assert (group["weight_decay"], group["betas"]) == (0.2, (0.8, 0.95))
    usual = denoiser_job(CPU, conditioning="none").optimizer.param_groups[0]
    assert (usual["weight_decay"], usual["betas"]) == (0.01, (0.9, 0.999))


def test_average_without_warm_up_keeps_its_decay():
    job = denoiser_job(CPU, conditioning="none", ema_warmup=False, ema_decay=0.5)
    before = {name: t.clone() for name, t in job.ema.weights.items()}
    job.step(0, 0.0)
    for name, p in job.model.named_parameters():
        assert torch.allclose(job.ema.weights[name], (before[name] + p.detach()) / 2, atol=1e-6)


@pytest.mark.parametrize("make", [denoiser_job, first_stage_job])
def test_bfloat16_computes_in_it_and_keeps_weights_in_float32(make):
    fields = {"conditioning": "none"} if make is denoiser_job else {}
    losses, weights = weights_after(make(CPU, precision="bfloat16", **fields))
    full, same = weights_after(make(CPU, **fields))
    assert {p.dtype for p in weights.values()} == {torch.float32}
    assert losses == pytest.approx(full, rel=0.05)
    assert losses != full
    assert 0 < apart(same, weights) < 0.02


@pytest.mark.parametrize("regularization", ["kl", "vq"])
def test_a_first_stage_in_parts_has_the_gradients_of_the_whole(regularization):
    fields = {"regularization": regularization, "batch": 8, "codebook": 16}
    whole, parts = (first_stage_job(CPU, accumulate=n, **fields) for n in (1, 4))
    assert apart(gradients_after(whole), gradients_after(parts)) <= 1e-4
    judges = [{n: p.grad for n, p in job.judge.named_parameters()} for job in (whole, parts)]
    assert apart(*judges) <= 1e-4
    assert torch.equal(whole.uses, parts.uses)
    assert float(whole.gradient_norm()) > 0


def scarce(job, most):
    """Let memory run out where more than `most` images go through the network at once."""
    module = getattr(job, "model", None) or job.network.encoder

    def look(_, given):
        if len(given[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    module.register_forward_pre_hook(look)
    return job


def test_a_batch_that_memory_does_not_reach_for_is_computed_in_parts(caplog):
    _, whole = weights_after(denoiser_job(CPU, conditioning="class", batch=8))
    with ShadowDevice(), caplog.at_level(logging.WARNING, logger="ldmbench"):
        job = scarce(denoiser_job(torch.device("cuda:0"), conditioning="class", batch=8), most=2)
        _, parts = weights_after(job)
        parts = {name: p.cpu() for name, p in parts.items()}
    assert job.accumulate == 4
    assert len(caplog.records) == 1
    assert "a batch of 8 images at once; it is computed in 4 parts of at most 2" in caplog.text
    assert apart(whole, parts) <= 2e-4


@pytest.mark.parametrize("regularization", ["kl", "vq"])
def test_so_is_a_batch_of_a_first_stage(regularization, caplog):
    fields = {"regularization": regularization, "batch": 8, "codebook": 16}
    whole = gradients_after(first_stage_job(CPU, **fields))
    with ShadowDevice(), caplog.at_level(logging.WARNING, logger="ldmbench"):
        job = scarce(first_stage_job(torch.device("cuda:0"), **fields), most=4)
        parts = gradients_after(job)
    assert job.accumulate == 2
    assert len(caplog.records) == 1
    assert apart(whole, parts) <= 1e-4


def test_one_image_that_does_not_fit_is_an_error():
    job = scarce(denoiser_job(CPU, conditioning="none", batch=4), most=0)
    with pytest.raises(torch.OutOfMemoryError):
        job.step(0, 0.0)


def test_a_training_says_what_it_took(tmp_path):
    train_model("cpu", tmp_path, conditioning="none", latents=Latents(), accumulate=2)
    cost = json.loads((tmp_path / "cost.json").read_text())
    assert sum(cost["shares"].values()) == pytest.approx(1)
    assert set(cost["shares"]) == {"data", "network", "optimiser", "other"}
    assert (cost["part"], cost["precision"]) == (2, "float32")
    assert cost["memory"] > 2**20
    assert 0 < cost["utilisation"] < 1
    assert cost["matrix_flops"] > 1e8
    rows = [json.loads(row) for row in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [set(row) for row in rows] == [{"step", "images", "loss", "rate", "gradient_norm"}] * 3
    assert all(row["gradient_norm"] > 0 and row["rate"] > 0 for row in rows)


def test_later_fields_move_no_key_at_their_defaults():
    assert "precision" not in DenoiserParams().model_dump()
    assert DenoiserParams(precision="bfloat16").model_dump()["precision"] == "bfloat16"


@pytest.mark.campaign
def test_a_compiled_network_trains_as_the_plain_one():
    plain, whole = weights_after(denoiser_job(CPU, conditioning="class"), steps=2)
    losses, made = weights_after(denoiser_job(CPU, conditioning="class", compile=True), steps=2)
    assert losses == pytest.approx(plain, rel=1e-4)
    assert apart(whole, made) <= 2e-4


def test_channels_last_weights_are_written_and_read(tmp_path):
    train_model("cpu", tmp_path, conditioning="class", precision="bfloat16")
    card = json.loads((tmp_path / "ldmbench.json").read_text())
    assert card["params"]["precision"] == "bfloat16"
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    assert all(t.is_contiguous() and t.dtype == torch.float32 for t in load_file(file).values())


def test_tf32_is_refused_on_a_processor(tmp_path):
    with pytest.raises(InputError, match="found tf32, which processors lack"):
        train_model("cpu", tmp_path, conditioning="none", precision="tf32")
    assert lack_of("bfloat16", "7.5").startswith("found bfloat16, which GPUs have from")
    assert lack_of("tf32", "9.0") is None


def test_attention_is_torchs_own():
    unet = denoiser_job(CPU, conditioning="class", attention_sizes=[16, 8]).model.unet
    kinds = {type(processor).__name__ for processor in unet.attn_processors.values()}
    assert kinds == {"AttnProcessor2_0"}

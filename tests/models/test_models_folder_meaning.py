"""What a diffusers folder does not state means what its pipeline took at that time, and is said."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.sources.models.diffusers_config import read_folder
from ldmbench.sources.models.peek import peek

GOLDEN = Path(__file__).parents[1] / "golden" / "diffusers" / "ldm"


def rewrite(place, drop=(), **changes):
    content = {k: v for k, v in json.loads(place.read_text()).items() if k not in drop}
    place.chmod(0o644)
    place.write_text(json.dumps(content | changes))


def old(tmp_path, part, drop=(), pipeline=None, **changes):
    folder = shutil.copytree(GOLDEN, tmp_path / "old")
    rewrite(folder / part, drop, _diffusers_version="0.1.2", **changes)
    if pipeline:
        rewrite(folder / "model_index.json", _class_name=pipeline)
    return folder


@pytest.mark.parametrize("changes", [{}, {"scaling_factor": None}])
def test_an_old_ldm_was_never_scaled(tmp_path, changes):
    folder = old(tmp_path, "vqvae/config.json", ["scaling_factor"], **changes)
    model, facts = load(folder), peek(folder)
    want = np.load(GOLDEN / "golden.npz")
    assert model.info.scale == facts.scale == 1.0
    assert np.abs(model.decode(torch.as_tensor(want["z"])).numpy() - want["decode"]).max() < 1e-4
    assert model.info.assumed == facts.assumed
    assert "vqvae/config.json does not state scaling_factor: 1.0 was taken" in facts.assumed[0]
    assert facts.taken == {"scaling_factor": 1.0}
    written = convert(model, tmp_path / "new")  # diffusers' own pipeline would read it so too
    assert json.loads((written / "vqvae" / "config.json").read_text())["scaling_factor"] == 1.0
    assert load(GOLDEN).info.scale == 0.18215  # which it states
    assert load(GOLDEN).info.assumed == peek(GOLDEN).assumed == ()


@pytest.mark.parametrize(
    ("pipeline", "stage", "scale"),
    [
        ("LatentDiffusionUncondPipeline", "VQModel", 1.0),
        ("LDMPipeline", "AutoencoderKL", 1.0),
        ("LDMSuperResolutionPipeline", "VQModel", 1.0),
        ("LDMTextToImagePipeline", "AutoencoderKL", 0.18215),
        ("StableDiffusionPipeline", "AutoencoderKL", 0.18215),
        ("StableDiffusionUpscalePipeline", "AutoencoderKL", 0.08333),
        ("StableDiffusionPipeline", "AutoencoderTiny", 1.0),
    ],
)
def test_the_scale_is_what_the_pipeline_took(tmp_path, pipeline, stage, scale):
    folder = old(tmp_path, "vqvae/config.json", ["scaling_factor"], pipeline, _class_name=stage)
    assert read_folder(folder).scale == scale


def test_a_scale_that_nothing_tells_is_asked_for(tmp_path):
    folder = old(tmp_path, "vqvae/config.json", ["scaling_factor"], "DiffusionPipeline")
    for look in (peek, load):
        with pytest.raises(InputError, match="write the model's scaling_factor into it"):
            look(folder)


SCHEDULER = "scheduler/scheduler_config.json"


@pytest.mark.parametrize(
    ("pipeline", "drop", "changes", "field", "value", "said"),
    [
        ("LDMPipeline", ["clip_sample"], {}, "clip_sample", False, True),
        ("DDPMPipeline", ["clip_sample"], {}, "clip_sample", True, True),
        ("StableDiffusionPipeline", ["clip_sample"], {}, "clip_sample", False, True),
        ("StableDiffusionPipeline", [], {"clip_sample": True}, "clip_sample", False, False),
        ("StableDiffusionPipeline", ["steps_offset"], {}, "steps_offset", 1, True),
        ("StableDiffusionPipeline", [], {"steps_offset": 0}, "steps_offset", 1, False),
        ("StableDiffusionInpaintPipeline", ["skip_prk_steps"], {"_class_name": "PNDMScheduler"},
         "skip_prk_steps", True, True),
        ("LDMPipeline", ["prediction_type"], {}, "prediction_type", "epsilon", True),
        ("LDMPipeline", ["prediction_type"], {"predict_epsilon": False}, "prediction_type",
         "sample", False),
        ("LDMPipeline", ["num_train_timesteps"], {"timesteps": 400}, "num_train_timesteps", 400,
         False),
        ("LDMPipeline", ["beta_schedule"], {}, "beta_schedule", "linear", True),
    ],
)  # fmt: skip
def test_schedulers_mean_what_they_meant(tmp_path, pipeline, drop, changes, field, value, said):
    folder = old(tmp_path, SCHEDULER, drop, pipeline, **changes)
    named = changes.get("_class_name", "DDIMScheduler")
    rewrite(folder / "model_index.json", scheduler=["diffusers", named])
    if pipeline == "DDPMPipeline":
        rewrite(folder / "model_index.json", drop=["vqvae"])
    found = read_folder(folder)
    assert found.scheduler[field] == value
    assert (field in [t.field for t in found.taken]) == said


@pytest.mark.parametrize(
    ("version", "size", "side"), [("0.2.4", 32, 64), ("0.2.4", 8, 8), ("0.9.0", 32, 32)]
)
def test_old_stable_diffusion_has_latents_of_64(tmp_path, version, size, side):
    changes = {"sample_size": size, "_class_name": "UNet2DModel"}
    folder = old(tmp_path, "unet/config.json", (), "StableDiffusionPipeline", **changes)
    rewrite(folder / "unet" / "config.json", _diffusers_version=version)
    assert read_folder(folder).size == (side, side)


def test_files_may_lie_at_the_top(tmp_path):
    """google/ddpm-* keeps all in one folder, with its model_index.json or without."""
    folder, unet = tmp_path / "ddpm", GOLDEN / "unet"
    folder.mkdir()
    for place in (*unet.iterdir(), GOLDEN / SCHEDULER):
        shutil.copy(place, folder)
    z, t = torch.ones(1, 3, 16, 16), torch.tensor([9])
    want = load(GOLDEN).eps(z, t)
    for index in (None, {"scheduler": ["diffusers", "DDIMScheduler"]}):
        if index:
            index |= {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}
            (folder / "model_index.json").write_text(json.dumps(index))
        model, facts = load(folder), peek(folder)
        assert model.info.f == facts.f == 1
        assert model.info.latent_shape == (3, 16, 16)
        assert facts.sides == (16, 16)
        assert torch.equal(model.eps(z, t), want)
    (folder / "model_index.json").unlink()
    (folder / "scheduler_config.json").unlink()
    with pytest.raises(InputError, match=r"put its scheduler_config\.json beside it"):
        peek(folder)


@pytest.mark.parametrize(
    ("names", "ema", "found"),
    [
        (["", ".non_ema"], True, ("", "ema")),
        (["", ".non_ema"], False, (".non_ema", "raw")),
        (["", ".ema"], True, (".ema", "ema")),
        (["", ".ema"], False, ("", "raw")),
        ([".ema"], False, (".ema", "ema")),
        ([".non_ema"], True, (".non_ema", "raw")),
        (["", ".fp16"], True, ("", "raw")),
    ],
)
def test_averaged_variants_are_taken_as_asked(tmp_path, names, ema, found):
    folder = shutil.copytree(GOLDEN, tmp_path / "m")
    place = folder / "unet" / "diffusion_pytorch_model.safetensors"
    place.chmod(0o644)
    data = place.read_bytes()
    place.unlink()
    for name in names:
        (folder / "unet" / f"diffusion_pytorch_model{name}.safetensors").write_bytes(data)
    from ldmbench.sources.models.places import weights_of

    (file,) = weights_of(folder / "unet", ema=ema)
    assert (file.name, peek(folder, ema=ema).weights) == (
        f"diffusion_pytorch_model{found[0]}.safetensors",
        found[1],
    )


def test_a_null_class_and_guided_channels_are_taken_as_told(tmp_path):
    """What no file says: the label for no class, and that DiT guides three channels of four."""
    import compvis_zoo as zoo

    zoo.make("labels", tmp_path / "m")
    model = load(tmp_path / "m", null_class=6, guided_channels=2)
    assert model.info.null_class == peek(tmp_path / "m", null_class=6).null_class == 6
    z = torch.randn(2, *model.info.latent_shape, generator=torch.Generator().manual_seed(0))
    run = {"steps": 1, "decode": False}
    cond = model.sample(z, cond=[1, 2], **run)
    all_ = load(tmp_path / "m").sample(z, cond=[1, 2], uncond=[6, 6], guidance=4.0, **run)
    some = model.sample(z, cond=[1, 2], guidance=4.0, **run)
    assert (some[:, :2] - all_[:, :2]).abs().max() < 1e-5
    assert (some[:, 2:] - cond[:, 2:]).abs().max() < 1e-5
    assert (all_[:, 2:] - cond[:, 2:]).abs().max() > 1e-3
    written = load(convert(model, tmp_path / "out"))
    assert (written.info.null_class, written.info.guided_channels) == (6, 2)
    for look in (peek, load):
        with pytest.raises(InputError, match="null_class is 7; allowed are 0 to 6"):
            look(tmp_path / "m", null_class=7)
        with pytest.raises(InputError, match="conditioned on none, not on classes"):
            look(GOLDEN, null_class=1)
    with pytest.raises(InputError, match="guided_channels is 4; allowed are 1 to 3"):
        load(tmp_path / "m", guided_channels=4)


@pytest.mark.parametrize("name", ["HeunDiscreteScheduler", "KDPM2DiscreteScheduler"])
def test_classes_with_betas_of_their_own_keep_them(tmp_path, name):
    folder = old(tmp_path, SCHEDULER, ["beta_start", "beta_end"], _class_name=name)
    rewrite(folder / "model_index.json", scheduler=["diffusers", name])
    found = read_folder(folder)
    assert (found.schedule.start, found.schedule.end) == (0.00085, 0.012)
    assert {"beta_start", "beta_end"} <= {t.field for t in found.taken}


def test_the_class_of_the_index_is_built_and_said(tmp_path):
    folder = old(tmp_path, "model_index.json", scheduler=["diffusers", "DDPMScheduler"])
    found = read_folder(folder)
    assert found.scheduler["_class_name"] == "DDPMScheduler"
    assert "in place of DDIMScheduler" in str(found.taken[0])


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        (SCHEDULER, {"clip_sample": "false"}, "clip_sample is 'false'; allowed is true or false"),
        (SCHEDULER, {"thresholding": "no"}, "allowed is true or false"),
        (SCHEDULER, {"steps_offset": 1.5}, "whole number from 0"),
        (SCHEDULER, {"num_train_timesteps": 1000.5}, "whole number from 1"),
        (SCHEDULER, {"predict_epsilon": False}, "predict_epsilon is False"),
        (SCHEDULER, {"timesteps": 500}, "timesteps is 500"),
        (SCHEDULER, {"trained_betas": [0.1] * 9}, "one beta for each timestep"),
        (SCHEDULER, {"variance_type": "learnt"}, "did you mean 'learned'"),
        (SCHEDULER, {"variance_type": "learned_range"}, "none for a variance"),
        (SCHEDULER, {"use_flow_sigmas": True}, "another process"),
        (SCHEDULER, {"timestep_type": "continuous"}, "another process"),
        (SCHEDULER, {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "one is of a flow"),
        ("unet/config.json", {"flip_sin_to_cos": "true"}, "allowed is true or false"),
        ("unet/config.json", {"in_channels": 4}, "joins none"),
        ("unet/config.json", {"out_channels": 5}, "returns 5 channels"),
        ("vqvae/config.json", {"scaling_factor": 0}, "other than 0"),
        ("vqvae/config.json", {"latent_channels": 4, "vq_embed_dim": 4}, "of different models"),
        ("model_index.json", {"unet": ["diffusers", "UNet2DConditionModel"]}, "into both"),
    ],
)  # fmt: skip
def test_values_that_would_be_read_wrong_are_refused(tmp_path, part, changes, said):
    folder = old(tmp_path, part, **changes)
    if "predict_epsilon" in changes:
        rewrite(folder / part, prediction_type="epsilon")
    told = []
    for look in (peek, load):
        with pytest.raises(InputError, match=said) as caught:
            look(folder)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_what_is_stated_and_not_used_is_said(tmp_path):
    folder = old(tmp_path, "vqvae/config.json", shift_factor=0.5)
    rewrite(folder / "unet" / "config.json", ["sample_size"])
    said = peek(folder).assumed
    assert said == load(folder).info.assumed
    assert any("shift_factor = 0.5, which is not used" in text for text in said)
    assert any("does not state sample_size: 64 was taken" in text for text in said)

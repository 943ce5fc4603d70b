"""What a plan refuses, the loader refuses in the same words, and the other way round."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.sources.models.peek import model_digest, peek

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER, CHECKPOINT = GOLDEN / "diffusers" / "ldm", GOLDEN / "compvis" / "ldm-uncond-vqf4"


def both_refuse(path, said, **options):
    told = []
    for look in (peek, load):
        with pytest.raises(InputError, match=said) as caught:
            look(path, **options)
        told.append(str(caught.value))
    assert told[0] == told[1]
    return told[0]


@pytest.mark.parametrize(
    ("part", "changes", "said"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionXLPipeline"}, "kind: call.*score"),
        ("model_index.json", {"_class_name": "PixArtAlphaPipeline"}, "without its component"),
        ("model_index.json", {"_class_name": "StableDiffusionInstructPix2PixPipeline"},
         "does not make images of prompts"),
        ("model_index.json", {"unet": [None, None]}, "neither a unet nor a transformer"),
        ("vqvae/config.json", {"_class_name": "AutoencoderKLWan"}, "first stages are Auto"),
        ("vqvae/config.json", {"_class_name": "AutoencoderLK"}, "did you mean 'AutoencoderKL'"),
        ("unet/config.json", {"_class_name": "UNet2DModle"}, "did you mean 'UNet2DModel'"),
        ("unet/config.json", {"down_block_types": ["DCDownBlock2D"]}, "has 'DCDownBlock2D'"),
        ("unet/config.json", {"block_out_channels": [32]}, "for the 1 widths"),
        ("vqvae/config.json", {"up_block_types": ["UpBlock"]}, "up_block_types has 'UpBlock'"),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "Stable Diffusion XL and kin"),
        ("unet/config.json", {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single"},
         "PixArt and kin"),
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, "needs a context"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "sigmoid"}, "'sigmoid' is not"),
        ("scheduler/scheduler_config.json", {"_class_name": "EDMEulerScheduler"}, "no scheduler"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow_prediction"}, "prediction"),
    ],
)  # fmt: skip
def test_folders(tmp_path, part, changes, said):
    folder = shutil.copytree(FOLDER, tmp_path / "m")
    (folder / part).chmod(0o644)
    (folder / part).write_text(json.dumps(json.loads((folder / part).read_text()) | changes))
    assert "undamaged" not in both_refuse(folder, said)


@pytest.mark.parametrize("joined", [1, 4, 9])
def test_folders_that_join_what_no_pipeline_gives(tmp_path, joined):
    """InstructPix2Pix under the name of Stable Diffusion, depth to image, and a stranger."""
    folder = shutil.copytree(FOLDER, tmp_path / "m")
    for part, changes in (
        ("model_index.json", {"_class_name": "StableDiffusionPipeline",
                              "text_encoder": ["transformers", "CLIPTextModel"]}),
        ("unet/config.json", {"_class_name": "UNet2DConditionModel", "in_channels": 3 + joined}),
    ):  # fmt: skip
        (folder / part).chmod(0o644)
        (folder / part).write_text(json.dumps(json.loads((folder / part).read_text()) | changes))
    if joined == 4:  # which is inpainting here, where latents have 3 channels
        (folder / "vqvae" / "config.json").chmod(0o644)
        content = json.loads((folder / "vqvae" / "config.json").read_text())
        (folder / "vqvae" / "config.json").write_text(
            json.dumps(content | {"latent_channels": 4, "vq_embed_dim": 4})
        )
        content = json.loads((folder / "unet" / "config.json").read_text())
        (folder / "unet" / "config.json").write_text(json.dumps(content | {"in_channels": 8}))
    both_refuse(folder, f"joins {joined} channels .* InstructPix2Pix and depth-to-image")


def config_with(path, value):
    config = YAML(typ="safe", pure=True).load(CHECKPOINT / "config.yaml")
    node = config
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    return json.loads(json.dumps(config))


PARAMS = ("model", "params")
STAGE = (*PARAMS, "first_stage_config")
DD = (*STAGE, "params", "ddconfig")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("model", "target"), "sgm.DiffusionEngine", "'DiffusionEngine'.*kind: call"),
        ((*STAGE, "target"), "taming.models.vqgan.GumbelVQ", "'GumbelVQ' is not .*VQModel"),
        ((*DD, "attn_type"), "sparse", "attn_type 'sparse'"),
        ((*DD, "give_pre_end"), "yes", "give_pre_end"),
        ((*PARAMS, "unet_config", "target"), "x.DiT", "only UNetModel"),
        ((*PARAMS, "unet_config", "params", "dims"), 3, "another dimension"),
        ((*PARAMS, "unet_config", "params", "context_dim"), 8, "come together"),
        ((*PARAMS, "cond_stage_config"), {"target": "x.GeneralConditioner"}, "is not supported"),
        ((*PARAMS, "beta_schedule"), "sigmoid", "beta_schedule 'sigmoid'"),
        ((*PARAMS, "parameterization"), "mu", "parameterization 'mu'"),
        ((*PARAMS, "v_posterior"), 0.5, "v_posterior = 0.5"),
        ((*PARAMS, "image_size"), "${nowhere}", "has no nowhere"),
        ((*PARAMS, "scale_by_std"), "perhaps", "scale_by_std is 'perhaps'"),
    ],
)  # fmt: skip
def test_checkpoints(tmp_path, path, value, said):
    place = tmp_path / "config.yaml"
    place.write_text(json.dumps(config_with(path, value)))
    assert "trained with" not in both_refuse(CHECKPOINT / "model.ckpt", said, config=place)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["conditioner.embedders.0.x", "model.diffusion_model.out.2.bias"],
         "is a Stable Diffusion XL .* no config makes loadable.*kind: call"),
        (["double_blocks.0.x", "single_blocks.0.y"], "is a FLUX transformer"),
        (["lora_unet_down.x"], "a LoRA, which is no model by itself"),
        (["y_embedder.embedding_table.weight", "blocks.0.adaLN_modulation.1.bias"], "a DiT or SiT"),
        (["model.diffusion_model.out.2.bias"], "no config beside it .* put its config.yaml into"),
        (["input_blocks.0.0.bias", "time_embed.0.bias"], "a YAML of its script's flags"),
        (["encoder.down.0.x", "quant_conv.bias"], "is a first stage of CompVis"),
        (["something"], r"put its config.yaml \(CompVis\), or a YAML of its script's flags"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_checkpoints_without_a_config_are_told_what_would_work(tmp_path, names, said, suffix):
    file = tmp_path / f"m{suffix}"
    tensors = {name: torch.zeros(1) for name in names}
    if suffix == ".ckpt":
        torch.save({"state_dict": tensors}, file)
    else:
        save_file(tensors, file)
    both_refuse(file, said)


def test_a_first_stage_may_lie_in_the_file_that_its_config_names(tmp_path):
    """CompVis' configs name it by ckpt_path, from the root of the repository."""
    import compvis_zoo as zoo

    whole, lean = tmp_path / "whole", tmp_path / "logs" / "run" / "checkpoints"
    w = zoo.make("mixed", whole)
    config = zoo.config_of(zoo.FAMILIES["mixed"])
    params = config["model"]["params"]["first_stage_config"]["params"]
    start = "first_stage_model."
    zoo.save(lean, {k: v for k, v in w.items() if not k.startswith(start)}, config)
    both_refuse(lean / "model.ckpt", "holds no first stage .* write ckpt_path: FILE")
    params["ckpt_path"] = "models/vq-f4/model.ckpt"
    (lean / "config.yaml").write_text(json.dumps(config))
    both_refuse(lean / "model.ckpt", "'models/vq-f4/model.ckpt', which ckpt_path .* is not there")
    stage = {k.removeprefix(start): v for k, v in w.items() if k.startswith(start)}
    zoo.save(tmp_path / "models" / "vq-f4", stage, {"model": {}})
    peek(lean)
    model, want = load(lean), load(whole)
    z = torch.ones(1, *model.info.latent_shape)
    assert torch.equal(model.decode(z), want.decode(z))
    assert model.info.digest == model_digest(lean) != want.info.digest
    zoo.save(tmp_path / "models" / "vq-f4", stage | {"loss.x": torch.ones(1)}, {"model": {}})
    assert model_digest(lean) == load(lean).info.digest != model.info.digest

"""CLIP in Stable Diffusion's single files: against the libraries that trained it, and refusals."""

import json

import compvis_reference as ref
import compvis_zoo as zoo
import pytest
import torch
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel

from ldmbench import errors
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.models.peek import model_digest
from ldmbench.sample import initial_noise

CLIP = "ldm.modules.encoders.modules.FrozenCLIPEmbedder"
SMALL = {
    "vocab_size": 40,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 12,
    "hidden_act": "gelu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
IDS = torch.tensor([[1, 5, 6, 2] + [3] * 8, [1, 7, 2] + [3] * 9])


@pytest.fixture(autouse=True)
def _one_thread():
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)


def apart(ours, theirs):
    assert tuple(ours.shape) == tuple(theirs.shape)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def write(folder, cond, told, context, *, unet=None, **params):
    """Write a Stable Diffusion checkpoint; return z, t and what its UNet predicts of them.

    Args:
        folder: to write.
        cond: cond_stage_config.
        told: the tensors under cond_stage_model.
        context: of the two prompts, (2, n, D).
        unet: changes of the UNet's config.
        params: changes of the model's config.
    """
    family = zoo.FAMILIES["text"]
    p = family.unet | {"context_dim": context.shape[2]} | (unet or {})
    config = zoo.config_of(family)
    inner = config["model"]["params"]
    inner.update(params, cond_stage_config=cond)
    inner["unet_config"]["params"] = p
    first = zoo.make("text", folder.parent / "first").items()
    w = ref.Weights()
    w.update({k: v for k, v in first if k.startswith("first_stage_model.")})
    z, t = initial_noise([0, 1], seed=0, shape=(4, 8, 8)), torch.tensor([5, 500])
    with torch.no_grad():
        out = ref.unet(w, "model.diffusion_model.", z, t, p, context=context)
    w.update({f"cond_stage_model.{k}": v for k, v in told.items()})
    zoo.save(folder, w, config)
    return z, t, out


def clip(folder, version=None, **changes):
    """Write a checkpoint whose CLIP has narrow heads; return it and what was predicted."""
    torch.manual_seed(0)
    tower = CLIPTextModel(CLIPTextConfig(**(SMALL | changes))).eval().requires_grad_(False)
    cond = {"target": CLIP} | ({"params": {"version": version}} if version else {})
    told = {f"transformer.text_model.{k}": v for k, v in tower.state_dict().items()}
    return tower, write(folder, cond, told, tower(IDS)[0])


def described(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize("place", ["absolute", "relative", "text_encoder", "tokenizer"])
@pytest.mark.parametrize("whole", [False, True])
def test_narrow_heads_are_told_by_a_config(tmp_path, place, whole):
    """A CLIPTextConfig, or a CLIPConfig that has one, as transformers writes them."""
    home = tmp_path / ("elsewhere" if place == "absolute" else f"sd/{place}")
    version = {"absolute": str(home), "relative": "relative"}.get(place, "openai/clip")
    tower, (z, t, theirs) = clip(tmp_path / "sd", version)
    blind = load(tmp_path / "sd")
    before = model_digest(tmp_path / "sd")
    assert blind.condition.encoder.config.num_attention_heads == 1
    assert apart(blind.eps(z, t, IDS), theirs) > 1e-3
    (CLIPConfig(text_config=tower.config.to_dict()) if whole else tower.config).save_pretrained(
        home
    )
    model = load(tmp_path / "sd")
    assert apart(model.condition.inputs(IDS, z)["context"], tower(IDS)[0]) < 1e-6
    assert apart(model.eps(z, t, IDS), theirs) < 1e-5
    for name, value in SMALL.items():
        assert getattr(model.condition.encoder.config, name) == value, name
    assert blind.info.digest == before != model.info.digest == model_digest(tmp_path / "sd")
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(z, t, IDS), model.eps(z, t, IDS)) < 1e-5


def test_configs_of_another_clip_are_refused(tmp_path):
    tower, _ = clip(tmp_path / "sd")
    config, home = tower.config.to_dict(), tmp_path / "sd" / "text_encoder"
    sentences = (
        ({"hidden_size": 128}, "hidden_size is 128; allowed is 64"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3; allowed is 2"),
        ({"vocab_size": [40]}, "vocab_size is .40.; allowed is 40"),
        ({"max_position_embeddings": None}, "max_position_embeddings is None; allowed is 12"),
        ({"num_attention_heads": 5}, "num_attention_heads is 5; allowed are the divisors of"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"num_attention_heads": True}, "num_attention_heads is True"),
        ({"num_attention_heads": "4\n4"}, "num_attention_heads is 4 4;"),
        ({"hidden_act": "quick_gelou"}, "did you mean 'quick_gelu'"),
        ({"hidden_act": ["gelu"]}, "hidden_act is"),
        ({"eos_token_id": 40}, "eos_token_id is 40; allowed are the tokens 0 to 39"),
        ({"pad_token_id": "end"}, "pad_token_id is end"),
        ({"layer_norm_eps": "tiny"}, "layer_norm_eps is tiny; allowed are numbers between 0 and 1"),
        ({"model_type": "bert"}, "is the config of 'bert'; allowed are a CLIP's own"),
        ({"text_config": 3}, "allowed are a CLIP's own"),
        ({"text_config": {}}, "vocab_size is 49408; allowed is 40"),
    )
    for changes, said in sentences:
        described(home, config | changes)
        refused(tmp_path / "sd", said)
    described(home, [1])
    refused(tmp_path / "sd", "is not a JSON object")
    (home / "config.json").write_text("{")
    refused(tmp_path / "sd", "is not readable as JSON")
    described(home, config)
    load(tmp_path / "sd")


def test_widths_that_no_config_explains_are_refused(tmp_path):
    clip(tmp_path / "sd", "x" * 5000, hidden_size=96)  # a folder that no system can have
    refused(tmp_path / "sd", "is 96 wide, allowed are multiples of 64")


def refused(path, said, **options):
    with pytest.raises(errors.InputError, match=said) as caught:
        load(path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700

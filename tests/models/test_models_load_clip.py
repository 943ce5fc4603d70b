"""CLIP in Stable Diffusion's single files: against the libraries that trained it, and refusals."""

import json

import compvis_reference as ref
import compvis_zoo as zoo
import pytest
import torch
from comparing import apart, one_thread  # noqa: F401
from transformers import CLIPConfig, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ldmbench import errors
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.models.weights import read_weights
from ldmbench.sample import initial_noise
from ldmbench.sources.models.peek import model_digest, peek

pytestmark = pytest.mark.slow

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


def write(folder, cond, told, context, *, unet=None, concat=None, **params):
    """Write a Stable Diffusion checkpoint; return z, t and what its UNet predicts of them.

    Args:
        folder: to write.
        cond: cond_stage_config.
        told: the tensors under cond_stage_model.
        context: of the two prompts, (2, n, D).
        unet: changes of the UNet's config.
        concat: what is joined to the latent.
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
    x = z if concat is None else torch.cat([z, concat], 1)
    with torch.no_grad():
        out = ref.unet(w, "model.diffusion_model.", x, t, p, context=context)
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
        ({"text_config": 3}, "text_config is 3; allowed is a mapping"),
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
    clip(tmp_path / "sd", "x" * 5000, hidden_size=200)  # a folder that no system can have
    refused(tmp_path / "sd", "is 200 wide, allowed are multiples of 64")


OPEN = "ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder"
TEXT = {"context_length": 12, "vocab_size": 40, "width": 128, "heads": 2, "layers": 3}
VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 64}
SD2 = {
    "use_linear_in_transformer": True,
    "num_head_channels": 64,
    "num_heads": -1,
    "model_channels": 64,
}


def open_clip_of(folder, layer=None, *, unet=None, concat=None, quick=False, arch=None, **text):
    """Write a checkpoint with an open_clip tower; return its context and what was predicted."""
    import open_clip

    torch.manual_seed(0)
    tower = open_clip.model.CLIP(32, VISION, TEXT | text, quick_gelu=quick).eval()
    tower.requires_grad_(False)
    for weight in tower.parameters():
        weight.add_(0.1 * torch.randn(weight.shape))
    # FrozenOpenCLIPEmbedder.encode_with_transformer, by open_clip's own modules
    kept = (TEXT | text)["layers"] - (layer == "penultimate")
    x = tower.token_embedding(IDS) + tower.positional_embedding
    for block in tower.transformer.resblocks[:kept]:
        x = block(x, attn_mask=tower.attn_mask)
    context = tower.ln_final(x)
    told = {k: v for k, v in tower.state_dict().items() if not k.startswith("visual.")}
    told = {f"model.{k}": v for k, v in (told | {"attn_mask": tower.attn_mask}).items()}
    given = {"freeze": True, "layer": layer, "arch": arch}
    own = {"target": OPEN, "params": {k: v for k, v in given.items() if v is not None}}
    rules = {"parameterization": "v"} if unet else {}
    return context, write(folder, own, told, context, unet=unet, concat=concat, **rules)


def words(text="<|startoftext|>", end="<|endoftext|>"):
    """Return a CLIP tokenizer of few words, which pads with the end, as SD1's does."""
    listed = ["!", *(f"w{i}" for i in range(1, 30)), "a</w>", "b</w>", "!</w>", "a", "b", "x", "y"]
    vocabulary = {word: i for i, word in enumerate([*listed, "z", text, end])}
    return CLIPTokenizer(vocab=vocabulary, merges=[])


@pytest.mark.parametrize("layer", [None, "last", "penultimate"])
def test_stable_diffusion_2_is_open_clip(tmp_path, layer):
    context, (z, t, v) = open_clip_of(tmp_path / "sd", layer, unet=SD2)
    model = load(tmp_path / "sd", tokenizer=words())
    assert apart(model.condition.inputs(IDS, z)["context"], context) < 1e-5
    assert apart(model.predict(z, t, model.condition.inputs(IDS, z)), v) < 1e-5
    bars = torch.as_tensor(model.info.schedule.alphas_cumprod())[t][:, None, None, None]
    eps = (bars.sqrt() * v + (1 - bars).sqrt() * z).float()
    assert apart(model.eps(z, t, IDS), eps) < 1e-5
    assert model.condition.encoder.config.hidden_act == "gelu"
    assert model.network.config.use_linear_projection
    prompts = ["a b", "b!"]
    ids = torch.tensor([[38, 30, 31, 39] + [0] * 8, [38, 31, 32, 39] + [0] * 8])
    assert torch.equal(model.condition.tokens(prompts), ids)
    written = load(convert(model, tmp_path / "out"))
    assert torch.equal(written.condition.tokens(prompts), ids)
    assert written.condition.tokenizer().pad_token_id == 0
    assert apart(written.eps(z, t, prompts), model.eps(z, t, ids)) < 1e-5
    assert written.info.schedule.prediction == "v_prediction"
    index = json.loads((tmp_path / "out" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    theirs = CLIPTokenizer.from_pretrained(tmp_path / "out" / "tokenizer")
    assert (theirs.pad_token, theirs.pad_token_id) == ("!", 0)
    text = CLIPTextModel.from_pretrained(tmp_path / "out" / "text_encoder")
    with torch.no_grad():
        assert apart(text(IDS)[0], context) < 1e-5


def test_prompts_are_open_clips_tokens():
    """Padding is 0, which is the word "!" too; a prompt's own "!" stays what it is."""
    import open_clip

    from ldmbench.models.conditions import Prompts

    theirs = open_clip.tokenizer.SimpleTokenizer()
    begin, end = "<|startoftext|>", "<|endoftext|>"
    vocabulary = dict(theirs.encoder) | {begin: 49406, end: 49407}
    for name in ("<start_of_text>", "<end_of_text>"):
        del vocabulary[name]
    merges = [tuple(pair) for pair in theirs.bpe_ranks]
    texts = ["A cat!", "", "hello!! world, it's 12 o'clock", "word " * 100]
    for pad in (end, "!"):
        own = CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=pad)
        prompts = Prompts(None, lambda own=own: own, length=77, pad=0)
        assert torch.equal(prompts.tokens(texts), open_clip.tokenize(texts))


def test_stable_diffusion_2_inpainting_joins_mask_and_latent(tmp_path):
    g = torch.Generator().manual_seed(0)
    concat = torch.randn(2, 5, 8, 8, generator=g)
    context, (z, t, theirs) = open_clip_of(
        tmp_path / "sd", "penultimate", unet=SD2 | {"in_channels": 9}, concat=concat
    )
    model = load(tmp_path / "sd")
    assert model.info.conditioning == "inpainting"
    assert peek(tmp_path / "sd").conditioning == "inpainting"
    assert apart(model.predict(z, t, {"context": context, "concat": concat}), theirs) < 1e-5
    image = torch.rand(2, 3, 32, 32, generator=g) * 2 - 1
    cond = {"prompt": IDS, "image": image, "mask": (image[:, :1] > 0).float()}
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(z, t, cond), model.eps(z, t, cond)) < 1e-5
    assert written.condition.prompts.pad == 0


@pytest.mark.parametrize(("layers", "told"), [(23, False), (24, False), (2, True), (2, False)])
def test_towers_that_diffusers_wrote_lack_the_block_that_never_runs(tmp_path, layers, told):
    """Its script leaves out the last block and the projection of Stable Diffusion 2's tower."""
    folder = tmp_path / "sd"
    context, (z, *_) = open_clip_of(folder, "penultimate", unet=SD2, layers=24 if layers > 2 else 3)
    with zoo.ForeignClass("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"):
        held = torch.load(folder / "model.ckpt", weights_only=False)
    out = ("text_projection", "logit_scale", "attn_mask", f"resblocks.{layers}.")
    kept = {k: v for k, v in held["state_dict"].items() if not any(name in k for name in out)}
    torch.save({"state_dict": kept}, folder / "model.ckpt")
    if told:
        config = json.loads((folder / "config.yaml").read_text())
        config["model"]["params"]["cond_stage_config"]["params"]["arch"] = "tower"
        (folder / "config.yaml").write_text(json.dumps(config))
        (folder / "tower.json").write_text(json.dumps({"text_cfg": TEXT}))
    model = load(folder)
    last = layers == 24
    assert model.info.assumed == peek(folder).assumed
    assert any("block" in said for said in model.info.assumed) != last
    assert model.condition.encoder.config.num_hidden_layers == layers - last
    assert apart(model.condition.inputs(IDS, z)["context"], context) < 1e-5


@pytest.mark.parametrize(
    ("arch", "file"), [("{}/tiny.json", "tiny.json"), ("own/tiny", "sd/own/tiny.json")]
)
def test_narrow_heads_are_told_by_open_clips_config(tmp_path, arch, file):
    arch = arch.format(tmp_path)
    context, (z, t, theirs) = open_clip_of(tmp_path / "sd", arch=arch, quick=True, heads=8)
    blind = load(tmp_path / "sd")
    assert apart(blind.condition.inputs(IDS, z)["context"], context) > 1e-3
    content = {"embed_dim": 32, "quick_gelu": True, "text_cfg": TEXT | {"heads": 8}}
    place = tmp_path / file
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps({"model_cfg": content} if arch == "own/tiny" else content))
    model = load(tmp_path / "sd")
    assert apart(model.condition.inputs(IDS, z)["context"], context) < 1e-5
    assert apart(model.eps(z, t, IDS), theirs) < 1e-5
    assert blind.info.digest != model.info.digest == model_digest(tmp_path / "sd")
    if arch != "own/tiny":
        return
    for changes, said in (
        ({"heads": 7}, "heads is 7; allowed are the divisors of the width 128"),
        ({"layers": 2}, "num_hidden_layers is 2; allowed is 3"),
        ({"no_causal_mask": True}, "text_cfg has no_causal_mask = True; allowed are causal"),
        ({"hf_model_name": "bert"}, "text_cfg has hf_model_name = bert"),
    ):
        place.write_text(json.dumps({"text_cfg": content["text_cfg"] | changes}))
        refused(tmp_path / "sd", said)
    place.write_text(json.dumps({"text_cfg": 3}))
    refused(tmp_path / "sd", "has no text_cfg; allowed is a model config of open_clip")


def test_broken_open_clip_towers_are_refused(tmp_path):
    open_clip_of(tmp_path / "sd", "penultimate")
    tensors = read_weights(tmp_path / "sd" / "model.ckpt")
    config = json.loads((tmp_path / "sd" / "config.yaml").read_text())
    root, block = "cond_stage_model.model.", "cond_stage_model.model.transformer.resblocks."
    joint, wide = f"{block}1.attn.in_proj_weight", f"{block}0.mlp.c_fc.weight"
    for drop, add, said in (
        ([joint], {}, "1 missing .model.transformer.resblocks.1.attn.in_proj_weight"),
        ([f"{root}ln_final.bias"], {}, "1 missing .model.ln_final.bias"),
        ([wide], {}, "no OpenCLIP text encoder .*resblocks.0.mlp.c_fc.weight is missing"),
        ([f"{root}positional_embedding"], {}, "model.positional_embedding is missing"),
        ([k for k in tensors if k.startswith(root)], {}, "no OpenCLIP text encoder"),
        ([], {f"{root}spare": 2}, "1 not asked for .model.spare"),
        ([], {f"{root}logit_scale.spare": 2}, "1 not asked for .model.logit_scale.spare"),
        ([], {f"{block}9.ln_1.bias": 128}, "not asked for|missing"),
        ([], {joint: (383, 128)}, "of another shape"),
        ([], {joint: (384, 64)}, "of another shape"),
        ([], {f"{root}token_embedding.weight": 40}, "token_embedding.weight is missing or no mat"),
        ([], {f"{root}token_embedding.weight": (40, 200)}, "is 200 wide, allowed are multiples"),
        ([], {f"{root}attn_mask": (12, 12)}, "allowed is the causal mask of 12 tokens"),
    ):
        made = {k: v for k, v in tensors.items() if k not in drop}
        made |= {k: torch.zeros(shape) for k, shape in add.items()}
        torch.save({"state_dict": made}, tmp_path / "broken.ckpt")
        refused(tmp_path / "broken.ckpt", said, config=config)
    section = config["model"]["params"]["cond_stage_config"]
    for changes, said in (
        ({"layer": "pooled"}, "OpenCLIP's layer is 'pooled'; allowed are last, penultimate"),
        ({"layer": ["last"]}, "allowed are last, penultimate"),
        ({"layer": "last"}, None),
    ):
        config["model"]["params"]["cond_stage_config"] = section | {"params": changes}
        if said is None:
            load(tmp_path / "sd" / "model.ckpt", config=config)
        else:
            refused(tmp_path / "sd" / "model.ckpt", said, config=config)
    # Stable Diffusion XL
    engine = {"target": "sgm.models.diffusion.DiffusionEngine", "params": {}}
    refused(tmp_path / "sd", "'DiffusionEngine'.* is not supported", config={"model": engine})


def refused(path, said, **options):
    with pytest.raises(errors.InputError, match=said) as caught:
        load(path, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700

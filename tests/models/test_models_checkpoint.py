"""Which file, which entry and which tensors a model is made of."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.weights import read_weights
from ldmbench.plan.digests import Digests
from ldmbench.plan.traits import traits_of
from ldmbench.schema.models import LoadModel
from ldmbench.sources.models.checkpoint import look
from ldmbench.sources.models.peek import model_digest, peek

GOLDEN = Path(__file__).parents[1] / "golden"
LDM = GOLDEN / "compvis" / "ldm-uncond-vqf4"
FLAGS = {"image_size": 64, "num_channels": 32}
UNET = {"time_embed.0.weight": torch.ones(2), "out.2.bias": torch.zeros(3)}


@pytest.fixture(scope="module")
def base():
    """Return the state dict and config of the golden LDM."""
    config = YAML(typ="safe", pure=True).load(LDM / "config.yaml")
    return read_weights(LDM / "model.ckpt"), json.loads(json.dumps(config))


def outputs(model):
    z, t = torch.ones(1, 3, 16, 16), torch.tensor([9])
    return model.eps(z, t), model.encode(torch.ones(1, 3, 64, 64) / 2), model.decode(z)


def placed(model):
    """Tell whether all weights begin their own memory, on a boundary."""
    tensors = [t for n in model.networks().values() for t in n.state_dict().values() if t.numel()]
    own = (t.untyped_storage().nbytes() == t.nbytes for t in tensors)
    return all(own) and all(t.is_contiguous() and t.data_ptr() % 64 == 0 for t in tensors)


def test_equal_weights_give_equal_bits_in_any_file(base, tmp_path):
    """Whatever lies before them in the file, so that processors round alike."""
    tensors, config = base
    want = load(LDM)
    assert placed(want)
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"module": {f"module.{k}": v for k, v in tensors.items()}}, tmp_path / "ddp.pt")
    for i in range(3):
        save_file(tensors, tmp_path / f"{i}.safetensors", metadata={"note": "x" * 13 * i})
    for path in sorted(tmp_path.iterdir()):
        model = load(path, config=config)
        assert placed(model)
        for ours, theirs in zip(outputs(model), outputs(want), strict=True):
            assert torch.equal(ours, theirs)


def test_weights_kept_as_bfloat16_load(base, tmp_path):
    """Betas are compared as closely as they were kept."""
    tensors, config = base
    for kind, name in ((torch.bfloat16, "bf"), (torch.float16, "half")):
        kept = {k: v.to(kind) if v.is_floating_point() else v for k, v in tensors.items()}
        assert "betas" in kept
        torch.save({"state_dict": kept}, tmp_path / f"{name}.ckpt")
        assert load(tmp_path / f"{name}.ckpt", config=config).info.weights == "ema"
        widened = {k: v.float() for k, v in kept.items()}  # what some save from it
        torch.save(widened, tmp_path / "widened.ckpt")
        load(tmp_path / "widened.ckpt", config=config)
        other = config["model"]["params"] | {"linear_end": 0.02}
        changed = {"model": config["model"] | {"params": other}}
        with pytest.raises(InputError, match="noise schedule"):
            load(tmp_path / f"{name}.ckpt", config=changed)


def test_what_only_training_reads_is_left_out_and_counted(base, tmp_path):
    tensors, config = base
    more = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0), "val_metrics.fid.sum": torch.ones(2),
            "first_stage_model.foundation_model.blocks.0.weight": torch.ones(2),
            "first_stage_model.loss.logvar": torch.ones(1)}  # fmt: skip
    torch.save({"state_dict": tensors | more}, tmp_path / "model.ckpt")
    info = load(tmp_path / "model.ckpt", config=config).info
    assert info.left_out == (
        "*_metrics.* (1)",
        "first_stage_model.foundation_model.* (1)",
        "first_stage_model.loss.* (1)",
        "v_pred (1)",
        "ztsnr (1)",
    )
    assert info.schedule is not None
    assert info.schedule.prediction == "v_prediction"
    assert info.schedule.beta_array()[-1] == 1
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    facts = peek(tmp_path)
    assert (facts.left_out, facts.weights_from) == (info.left_out, info.weights_from)
    assert facts.weights_from == "model.ckpt [state_dict.model_ema]"
    assert facts.scheduler["prediction_type"] == "v_prediction"
    assert facts.scheduler["rescale_betas_zero_snr"]


def test_other_keys_are_left_out_when_asked(base, tmp_path):
    tensors, config = base
    torch.save(tensors | {"mystery.a": torch.ones(1)}, tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=r"`ignore: \['mystery\.a'\]` leaves them out"):
        load(tmp_path, config=config)
    assert load(tmp_path, config=config, ignore=["mystery.*"]).info.left_out == ("mystery.* (1)",)
    with pytest.raises(InputError, match="`ignore` is for checkpoint files"):
        load(GOLDEN / "diffusers" / "ldm", ignore=["mystery.*"])


def test_names_of_novelai_are_those_of_clip(tmp_path):
    names = ("embeddings.token_embedding.weight", "encoder.layers.0.mlp.fc1.weight",
             "final_layer_norm.bias")  # fmt: skip
    front = "cond_stage_model.transformer."
    torch.save({f"{front}{n}": torch.ones(1) for n in names}, tmp_path / "nai.ckpt")
    held = look(tmp_path / "nai.ckpt", {"model": {"target": "ldm.LatentDiffusion"}})
    assert set(held.slots) == {f"{front}text_model.{n}" for n in names}


def write(folder, *names):
    folder.mkdir()
    (folder / "config.yaml").write_text(json.dumps(FLAGS))
    for i, name in enumerate(names):
        torch.save({k: v + i for k, v in UNET.items()}, folder / name)
    return folder


def test_a_folder_of_many_checkpoints_is_refused_with_their_names(tmp_path):
    names = [f"ema_0.9999_{step}.pt" for step in ("010000", "020000", "100000")]
    folder = write(tmp_path / "logs", *names, "opt100000.pt")
    for what in (peek, load, model_digest):
        with pytest.raises(InputError, match="holds 3 checkpoints") as caught:
            what(folder)
        assert all(name in str(caught.value) for name in names)
        assert "opt" not in str(caught.value)
    assert peek(folder / names[1]).weights_from == names[1]


@pytest.mark.parametrize(
    ("names", "ema", "wanted"),
    [
        (("model100000.pt", "ema_0.9999_100000.pt", "opt100000.pt"), True, "ema_0.9999_100000.pt"),
        (("model100000.pt", "ema_0.9999_100000.pt"), False, "model100000.pt"),
        (("epoch=1.ckpt", "epoch=2.ckpt", "last.ckpt"), True, "last.ckpt"),
        (("model.pt", "model_ema.pt"), True, "model_ema.pt"),
        (("model.pt", "model_ema.pt"), False, "model.pt"),
        (("only.ckpt", "optimizer.bin", "random_states_0.pt"), True, "only.ckpt"),
        (("e9.ckpt", "e9_optimizer.pt", "e9-optim.pth", "training_state.pt"), True, "e9.ckpt"),
    ],
)
def test_the_file_of_a_folder_that_is_meant(names, ema, wanted, tmp_path):
    facts = peek(write(tmp_path / "logs", *names), ema=ema)
    assert facts.weights_from == wanted
    assert facts.weights == ("ema" if "ema" in wanted else "raw")


def test_flags_may_stand_in_config_json(tmp_path):
    folder = write(tmp_path / "logs", "model.pt")
    (folder / "config.yaml").rename(folder / "config.json")
    for path in (folder, folder / "model.pt"):
        assert peek(path).source == "guided-diffusion:UNetModel"
    (folder / "config.json").write_text(json.dumps(FLAGS | {"_class_name": "UNet"}))
    with pytest.raises(InputError, match="holds a 'UNet' alone"):
        peek(folder)


@pytest.mark.parametrize("name", ["ema_0.9999_100000.pt", "model_ema.pt", "ema.pt"])
def test_a_file_of_averages_alone_is_no_raw_one(name, tmp_path):
    with pytest.raises(InputError, match="as its name says, and `ema: false` asks for raw ones"):
        peek(write(tmp_path / "logs", name), ema=False)
    folder = write(tmp_path / "both", name)
    torch.save({"model": UNET, "ema": UNET}, folder / name)
    assert peek(folder, ema=False).weights_from == f"{name} [model]"


def test_first_stages_of_averages_and_of_raw_weights_have_keys_of_their_own(base, tmp_path):
    """An entry of averages holds them too; CompVis' own averages are of the UNet alone."""
    raw = {name: value for name, value in base[0].items() if not name.startswith("model_ema.")}
    for name, content in (("entries", {"model": raw, "ema": raw}), ("compvis", base[0])):
        folder = tmp_path / name
        folder.mkdir()
        torch.save(content, folder / "model.ckpt")
        (folder / "config.yaml").write_text(json.dumps(base[1]))
        models = (LoadModel(kind="load", path=str(folder), ema=ema) for ema in (True, False))
        ours, theirs = (traits_of(m, tmp_path, Digests(None), resolution=64) for m in models)
        assert ours.denoiser != theirs.denoiser
        assert (ours.autoencoder == theirs.autoencoder) == (name == "compvis")


def test_only_what_is_read_belongs_to_a_folders_digest(tmp_path):
    folder = shutil.copytree(GOLDEN / "diffusers" / "ldm", tmp_path / "ldm")
    before = model_digest(folder)
    assert load(folder).info.digest == before
    assert peek(folder).weights_from == "unet/diffusion_pytorch_model.safetensors"
    shutil.copytree(folder / "unet", folder / "checkpoint-500" / "unet")
    for name in ("logs/events.json", "notes.txt", "README.md", "samples/0.png", "trainer.json",
                 "unet/diffusion_pytorch_model.fp16.safetensors", "unet/notes.json"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    assert model_digest(folder) == load(folder).info.digest == before
    place = folder / "scheduler" / "scheduler_config.json"
    place.chmod(0o644)
    place.write_text(place.read_text() + "\n")
    assert model_digest(folder) != before

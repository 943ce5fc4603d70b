"""Bad input through `ldmbench convert`: exit 2, one sentence, nothing executed, nothing written."""

import json
import os
import shutil
from pathlib import Path

import compvis_zoo as zoo
import pytest
import torch

from ldmbench.cli import outcome
from ldmbench.models.weights import read_weights

GOLDEN = Path(__file__).parents[1] / "golden"
LDM = GOLDEN / "compvis" / "ldm-uncond-vqf4"


@pytest.fixture
def folder(tmp_path):
    """Return a copy of the golden checkpoint and its config, writable."""
    made = tmp_path / "model"
    made.mkdir()
    for name in ("model.ckpt", "config.yaml"):
        shutil.copyfile(LDM / name, made / name)
    return made


def refused(model, out, capsys, said, *options):
    assert outcome(["convert", str(model), str(out), *options]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert len(printed.err.strip().splitlines()) == 1, printed.err
    assert not printed.out.strip()
    assert not out.exists()


def rewritten(folder, text):
    (folder / "config.yaml").write_text(text)
    return folder


def bomb():
    """Nine levels of ten aliases: ten to the ninth when written out."""
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join([*rows, "model: {target: ldm.LatentDiffusion, params: {unet_config: *a8}}"])


def test_configs_that_would_act_or_explode(folder, tmp_path, capsys):
    mark, out = tmp_path / "executed", tmp_path / "out"
    tags = (
        f"model: !!python/object/apply:os.system ['touch {mark}']",
        f"model: !!python/object/new:os.system ['touch {mark}']",
        "model: !!python/name:os.system",
        "model: !!python/module:subprocess",
    )
    for text in tags:
        refused(rewritten(folder, text), out, capsys, "not readable as YAML")
    assert not mark.exists()
    refused(rewritten(folder, bomb()), out, capsys, "by its aliases")
    refused(rewritten(folder, "a: &a [*a]"), out, capsys, "by its aliases")
    refused(rewritten(folder, "[" * 3000), out, capsys, "config.yaml")
    refused(rewritten(folder, "x" * 5_000_000), out, capsys, "more than 4,000,000 bytes")
    (folder / "config.yaml").write_bytes(b"\xff\xfe\x00model")
    refused(folder, out, capsys, "not readable as YAML")


def test_weights_that_would_act_or_do_not_fit(folder, tmp_path, capsys):
    mark, out = tmp_path / "executed", tmp_path / "out"
    place = folder / "model.ckpt"
    whole = place.read_bytes()
    place.write_bytes(zoo.evil_bytes(os.system, f"touch {mark}"))
    refused(folder, out, capsys, "could execute code is refused")
    assert not mark.exists()
    place.write_bytes(whole[: len(whole) // 2])
    refused(folder, out, capsys, "is not a checkpoint that torch.save wrote")
    place.write_bytes(whole)
    tensors = read_weights(place)
    lost = "first_stage_model.quant_conv.bias"
    torch.save({k: v.clone() for k, v in tensors.items() if k != lost}, tmp_path / "few.pt")
    config = ("--config", str(LDM / "config.yaml"))
    refused(tmp_path / "few.pt", out, capsys, "1 missing (quant_conv.bias)", *config)
    spare = {k: v.clone() for k, v in tensors.items()} | {"spare": torch.zeros(1)}
    torch.save(spare, tmp_path / "many.pt")
    refused(tmp_path / "many.pt", out, capsys, "1 keys not asked for", *config)
    text = (LDM / "config.yaml").read_text()
    refused(rewritten(folder, text.replace("linear_end", "linear_start")), out, capsys, "YAML")


def test_folders_with_another_scheduler_or_half_a_file(tmp_path, capsys):
    made, out = tmp_path / "folder", tmp_path / "out"
    shutil.copytree(GOLDEN / "diffusers" / "ldm", made)
    for path in made.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    place = made / "scheduler" / "scheduler_config.json"
    kept = place.read_text()
    flow = json.loads(kept) | {"_class_name": "EDMEulerScheduler"}
    place.write_text(json.dumps(flow))
    refused(made, out, capsys, "no scheduler of a diffusion in betas")
    place.write_text(kept)
    weights = made / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    refused(made, out, capsys, "not a readable safetensors file")
    weights.write_bytes(whole)
    (made / "unet" / "config.json").write_text('{"_class_name": "UNet2DModel", "layers')
    refused(made, out, capsys, "config.json is not readable as JSON")

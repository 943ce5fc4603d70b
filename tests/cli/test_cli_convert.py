"""`ldmbench convert`: a folder that loads to the same numbers, or one sentence."""

import json
from pathlib import Path

import torch

from ldmbench.cli import outcome
from ldmbench.models import load

GOLDEN = Path(__file__).parents[1] / "golden"


def test_a_checkpoint_becomes_a_folder_that_agrees(tmp_path, capsys):
    source, out = GOLDEN / "compvis" / "ldm-uncond-vqf4", tmp_path / "out"
    assert outcome(["convert", str(source), str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(out)
    assert (told["weights"], told["f"], told["timesteps"]) == ("ema", 4, "compvis")
    ours, theirs = load(source), load(out)
    z = torch.linspace(-1, 1, ours.info.latent_shape[0] * 16 * 16).reshape(1, -1, 16, 16)
    torch.testing.assert_close(ours.decode(z), theirs.decode(z), rtol=1e-5, atol=1e-5)
    assert theirs.info.quantize == "truncate"


def test_raw_weights_and_a_config_elsewhere(tmp_path, capsys):
    source = GOLDEN / "compvis" / "ldm-uncond-vqf4"
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes((source / "model.ckpt").read_bytes())
    arguments = ["convert", str(alone), str(tmp_path / "raw")]
    assert outcome(arguments) == 2
    assert "has no config beside it" in capsys.readouterr().err
    config = ["--config", str(source / "config.yaml"), "--no-ema", "--json"]
    assert outcome([*arguments, *config]) == 0
    assert json.loads(capsys.readouterr().out)["weights"] == "raw"


def test_a_folder_in_use_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("kept")
    assert outcome(["convert", str(GOLDEN / "diffusers" / "ldm"), str(tmp_path)]) == 2
    assert "name a new folder" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_nothing_there(tmp_path, capsys):
    assert outcome(["convert", str(tmp_path / "nothing"), str(tmp_path / "out")]) == 2
    assert "is not there" in capsys.readouterr().err

"""A training that is killed and resumed ends in the bytes of an undisturbed one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from ldmbench.data.shapes import render
from ldmbench.errors import InputError, StageError
from ldmbench.models.autoencoder import load_first_stage
from ldmbench.models.conditioner import Brought
from ldmbench.models.diffusers.folder import load_folder
from ldmbench.models.files import kept_at
from ldmbench.models.first_stage import Identity
from ldmbench.models.model import Info, Model
from ldmbench.models.suite_model import SuiteModel
from ldmbench.schema.models import AutoencoderParams, Budget, DenoiserParams
from ldmbench.schema.params import Sampling
from ldmbench.train.autoencoder import train_autoencoder
from ldmbench.train.checkpoint import read_checkpoint, write_checkpoint
from ldmbench.train.crew import Crew
from ldmbench.train.denoiser import train_denoiser
from ldmbench.train.limit import Limit
from ldmbench.train.loop import _resume

pytestmark = pytest.mark.slow


class Shapes:
    def __init__(self, count=24, resolution=8):
        self.batch = render(np.arange(count), resolution=resolution)

    def __len__(self):
        return len(self.batch)

    def images(self, indices):
        return self.batch.images[indices]

    def labels(self, indices):
        return self.batch.labels[indices]

    def captions(self, indices):
        return [self.batch.captions[i] for i in indices]


class Latents:
    def __init__(self, count=24):
        self.z = np.random.default_rng(0).normal(size=(count, 3, 4, 4)).astype(np.float32)

    def __len__(self):
        return len(self.z)

    def read(self, indices):
        return self.z[indices]


class KilledError(Exception):
    pass


def killer(after):
    def report(fraction, note):
        if fraction >= after:
            raise KilledError

    return report


def quiet(fraction, note):
    assert 0 <= fraction <= 1
    assert "step" in note


def build_model():
    """Return a first stage that is none, for denoisers that lie apart from theirs."""
    info = Info(f=1, latent_shape=(3, 4, 4), digest="", source="", path=Path(), quantize="round")
    return Model(info, Identity())


def weights_of(folder):
    names = [p for p in folder.rglob("*") if p.is_file() and p.name != "cost.json"]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in names}


def resumed_equals_undisturbed(train, tmp_path, monkeypatch):
    train(tmp_path / "s1", tmp_path / "whole", quiet)
    monkeypatch.setattr("ldmbench.train.loop.REPORT_SECONDS", 0.0)
    for after in (0.4, 0.7):
        with pytest.raises(KilledError):
            train(tmp_path / "s2", tmp_path / "half", killer(after))
        torch.rand(3)  # whatever happens between attempts
    train(tmp_path / "s2", tmp_path / "again", quiet)
    whole, again = weights_of(tmp_path / "whole"), weights_of(tmp_path / "again")
    assert whole.keys() == again.keys()
    assert [name for name in whole if whole[name] != again[name]] == []
    cost = json.loads((tmp_path / "again" / "cost.json").read_text())
    assert cost["attempts"] == 3
    return cost


def denoiser(scratch, output, report, *, params=None, budget=None, latents=None, **more):
    given = {"channels": 8, "context_channels": 8, "batch": 4, "warmup": 2, "learning_rate": 1e-3}
    return train_denoiser(
        DenoiserParams(**(given | (params or {}))),
        budget or Budget(steps=10),
        images=Shapes(),
        latents=latents,
        latent_shape=(3, 4, 4) if latents else (3, 8, 8),
        brought=Brought(classes=48),
        device="cpu",
        scratch=scratch,
        output=output,
        report=report,
        **more,
    )


def autoencoder(scratch, output, report, **fields):
    given = {"f": 2, "channels": 8, "batch": 4, "codebook": 32, "adversarial_start": 0.5}
    params = AutoencoderParams(**(given | {"budget": Budget(steps=10)} | fields))
    return train_autoencoder(
        params,
        Shapes(),
        resolution=8,
        device="cpu",
        scratch=scratch,
        output=output,
        report=report,
        checkpoint_seconds=0.0,
    )


DIT = {"network": "dit", "width": 16, "depth": 2}


@pytest.mark.parametrize(
    ("conditioning", "network"),
    [
        ("none", {}),
        ("class", {}),
        ("caption", {}),
        ("none", DIT),
        ("class", DIT),
        ("class", {"dropout": 0.1, "scale_shift": True}),
        ("class", DIT | {"dropout": 0.1}),
    ],
)
def test_denoiser_resumes_bit_for_bit(conditioning, network, tmp_path, monkeypatch):
    params = network | {
        "conditioning": conditioning,
        "objective": "v" if conditioning == "none" else "eps",
        "checkpoints": (0.125, 0.5),
    }
    latents = Latents() if conditioning != "none" else None

    def train(scratch, output, report):
        denoiser(scratch, output, report, params=params, latents=latents, checkpoint_seconds=0.0)

    cost = resumed_equals_undisturbed(train, tmp_path, monkeypatch)
    assert cost["steps"] == 10
    assert cost["images"] == 40
    names = {p.name for p in (tmp_path / "again").iterdir()}
    assert {kept_at(0.125), "at-0.50", "curve.jsonl", "cost.json", "ldmbench.json"} <= names
    first = build_model()
    final, half, raw = (
        load_folder(tmp_path / "again" / name, first_stage=first, ema=ema)
        for name, ema in ((".", True), ("at-0.50", True), (".", False))
    )
    assert (final.info.weights, raw.info.weights) == ("ema", "raw")
    for other in (half, raw):
        for name, network in final.networks().items():
            pairs = zip(network.parameters(), other.networks()[name].parameters())
            assert any(not torch.equal(a, b) for a, b in pairs)
    work = SuiteModel(final).work(Sampling(**tiny.SAMPLING))
    assert cost["flops"] == 3 * 40 * (work.denoiser + work.condition)
    assert cost["parameters"] == final.info.parameters


@pytest.mark.parametrize("regularization", ["kl", "vq"])
def test_autoencoder_resumes_bit_for_bit(regularization, tmp_path, monkeypatch):
    def train(scratch, output, report):
        autoencoder(scratch, output, report, regularization=regularization)

    resumed_equals_undisturbed(train, tmp_path, monkeypatch)
    stage = load_first_stage(tmp_path / "again")
    x = torch.from_numpy(Shapes().batch.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    z = stage.encode(x)
    assert torch.isfinite(z).all()
    if regularization == "kl":
        assert 0.7 < float(z.std()) < 1.4
    curve = (tmp_path / "again" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in curve] == list(range(1, 11))


def test_a_checkpoint_of_another_recipe_is_ignored(tmp_path, monkeypatch):
    monkeypatch.setattr("ldmbench.train.loop.REPORT_SECONDS", 0.0)
    latents = Latents()
    with pytest.raises(KilledError):
        denoiser(tmp_path / "s", tmp_path / "o", killer(0.5), latents=latents, checkpoint_seconds=0)
    cost = denoiser(
        tmp_path / "s", tmp_path / "o", quiet, latents=latents, params={"train_seed": 1}
    )
    assert cost.attempts == 1


def flip(file, at=-9):
    data = bytearray(file.read_bytes())
    data[at] ^= 4
    file.write_bytes(data)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_counts(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("ldmbench.train.loop.REPORT_SECONDS", 0.0)
    latents, params = Latents(), {"checkpoints": (0.2,)}
    more = {"latents": latents, "params": params}
    with pytest.raises(KilledError):
        denoiser(tmp_path / "s", tmp_path / "o", killer(0.5), checkpoint_seconds=0, **more)
    denoiser(tmp_path / "t", tmp_path / "whole", quiet, **more)
    shutil.copytree(tmp_path / "s", tmp_path / "u")
    flip(tmp_path / "s" / "checkpoint.safetensors")
    assert denoiser(tmp_path / "s", tmp_path / "o", quiet, **more).attempts == 2
    assert "training goes on from the checkpoint before" in caplog.text
    assert (tmp_path / "s" / "checkpoint.safetensors.damaged").is_file()
    assert weights_of(tmp_path / "o") == weights_of(tmp_path / "whole")
    flip(max((tmp_path / "u" / "kept").rglob("*.safetensors"), key=lambda f: f.stat().st_size))
    assert denoiser(tmp_path / "u", tmp_path / "o", quiet, **more).attempts == 1
    assert "the weights that were kept before, at-0.20, are damaged" in caplog.text
    assert "its training so far is lost, it begins anew" in caplog.text
    assert weights_of(tmp_path / "o") == weights_of(tmp_path / "whole")


@pytest.mark.parametrize("at", [9, 60, 200, 300, -1], ids=str)
def test_every_bit_of_a_checkpoint_counts(at, tmp_path, caplog):
    tensors = {"a": torch.arange(9.0), "b": torch.tensor(3), "c": torch.zeros(4).bfloat16()}
    assert read_checkpoint(tmp_path, "r") is None
    for step in (1, 2):
        write_checkpoint(tmp_path, tensors, {"recipe": "r", "steps": step})
    assert read_checkpoint(tmp_path, "r")[1]["steps"] == 2
    flip(tmp_path / "checkpoint.safetensors", at)
    found, facts = read_checkpoint(tmp_path, "r")
    assert facts["steps"] == 1
    assert all(torch.equal(found[name], t) for name, t in tensors.items())
    (tmp_path / "checkpoint-before.safetensors").write_bytes(b"")
    assert read_checkpoint(tmp_path, "r") is None
    assert len(list(tmp_path.glob("*.damaged"))) == 2
    assert "begins anew" in caplog.text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"steps": -1}, "steps: Input should be greater than or equal to 0"),
        ({"steps": 10**9}, "it is of step 1000000000, past the end of the training"),
        ({"seconds": "x"}, "seconds: Input should be a valid number"),
        ({"curve": [[1]]}, "curve.0"),
    ],
)
def test_facts_that_make_no_sense_are_damage(change, why, tmp_path, monkeypatch, caplog):
    class Nothing:
        device, crew = torch.device("cpu"), Crew()
        tensors = staticmethod(dict)

        def restore(self, tensors):
            pass

    facts = {
        "recipe": "r",
        "steps": 3,
        "seconds": 1.0,
        "attempts": 1,
        "curve": [[3, 12, 0.5, 1e-3, 1.0]],
    }
    loss = {"loop.loss_sum": torch.zeros(())}
    write_checkpoint(tmp_path, loss, facts)
    assert _resume(Nothing(), Limit(steps=10), tmp_path, "r")[0].steps == 3
    write_checkpoint(tmp_path, loss, facts | change)
    assert _resume(Nothing(), Limit(steps=10), tmp_path, "r")[0].steps == 3
    assert why in caplog.text


def test_seeds_differ_and_global_randomness_is_left_alone(tmp_path):
    before, latents = torch.get_rng_state(), Latents()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        params = {"train_seed": seed}
        denoiser(tmp_path / f"s{name}", tmp_path / name, quiet, latents=latents, params=params)
    assert torch.equal(before, torch.get_rng_state())
    file = "unet/diffusion_pytorch_model.safetensors"
    a, b, c = (weights_of(tmp_path / name)[file] for name in "abc")
    assert a == b
    assert a != c


def test_minutes_are_spent_and_reported(tmp_path):
    seen = []
    cost = denoiser(
        tmp_path / "s",
        tmp_path / "o",
        lambda fraction, note: seen.append(fraction),
        latents=Latents(),
        budget=Budget(device_minutes=0.02),
    )
    assert 1.2 <= cost.seconds < 6
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert len(seen) >= 2


def test_divergence_is_said(tmp_path):
    latents = Latents()
    latents.z[:] = np.nan
    with pytest.raises(StageError, match="learning_rate"):
        denoiser(tmp_path / "s", tmp_path / "o", quiet, latents=latents)


def test_wrong_input(tmp_path):
    with pytest.raises(InputError, match="encode them all"):
        denoiser(tmp_path / "s", tmp_path / "o", quiet, latents=Latents(3))
    with pytest.raises(InputError, match="identity"):
        autoencoder(tmp_path / "s", tmp_path / "o", quiet, f=1)
    with pytest.raises(InputError, match="does not divide"):
        autoencoder(tmp_path / "s", tmp_path / "o", quiet, f=16)


def test_weights_are_kept_where_the_last_step_crosses_their_share(tmp_path):
    params = {"checkpoints": (0.5, 0.9, 1.0)}
    denoiser(tmp_path / "s", tmp_path / "o", quiet, params=params, latents=Latents(),
             budget=Budget(steps=4))  # fmt: skip
    kept = sorted(p.name for p in (tmp_path / "o").glob("at-*"))
    assert kept == ["at-0.50", "at-0.90"]
    last, final = (
        load_folder(tmp_path / "o" / n, first_stage=build_model()).network for n in ("at-0.90", ".")
    )
    pairs = zip(last.parameters(), final.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)

"""Facts of DiT, SiT, REPA and LightningDiT that files state unlike each other, or not at all."""

import json
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ldmbench.errors import InputError
from ldmbench.sources.models.latent_rules import folder_rule
from ldmbench.sources.models.peek import peek

TODAY = Path(__file__).parents[1] / "golden" / "today"


def written(folder, case, **changes):
    """Copy a golden case with other values ("a__b" is a value of a section)."""
    place = shutil.copytree(TODAY / case, folder / case, copy_function=shutil.copyfile)
    config = YAML(typ="safe", pure=True).load(place / "config.yaml")
    for name, value in changes.items():
        *path, last = name.split("__")
        node = config
        for step in path:
            node = node.setdefault(step, {})
        if value is ...:
            node.pop(last, None)
        else:
            node[last] = value
    (place / "config.yaml").write_text(json.dumps(config))
    return next(p for p in place.glob("*.pt") if p.name != "latents_stats.pt")


LIGHTNING = "lightningdit"


@pytest.mark.parametrize(
    ("case", "changes", "said"),
    [
        (LIGHTNING, {"data__latent_norm": ...}, "does not state data.latent_norm"),
        (LIGHTNING, {"data__latent_norm": "maybe"}, "latent_norm is 'maybe'"),
        (LIGHTNING, {"data__latent_multiplier": 0}, "other than 0"),
        (LIGHTNING, {"sample__timestep_shift": -1}, "allowed is a number from 0"),
        (LIGHTNING, {"sample__cfg_interval_start": 1.5}, "allowed is 0 up to 1"),
        (LIGHTNING, {"sample__cfg_interval_start": "x"}, "allowed is a number"),
        (LIGHTNING, {"sample__atol": "x"}, "sample.atol is 'x'"),
        (LIGHTNING, {"sample__reverse": True}, "from data to noise"),
        (LIGHTNING, {"model__use_rope": False}, "its weights show True"),
        (LIGHTNING, {"model__in_chans": 32}, "its weights show 16"),
        ("dit", {"diffusion__respace": 1}, "did you mean 'respacing'"),
        ("dit", {"diffusion__diffusion_steps": 500}, "needed is one whole number"),
        ("dit", {"diffusion__beta_start": "x"}, "allowed is a number"),
        ("dit", {"first_stage__scaling_factor": 0}, "other than 0"),
        ("sit", {"transport__path_type": "GVP"}, "its arguments Linear"),
        ("sit", {"transport__prediction": "score"}, "its arguments velocity"),
        ("repa", {"first_stage__latents_scale": [0.1, 0.2]}, "has 2 numbers; needed are 4"),
        ("repa", {"transport__path_type": "cosine"}, "stated unlike each other"),
    ],
)
def test_contradictions_are_refused(tmp_path, case, changes, said):
    with pytest.raises(InputError, match=said):
        peek(written(tmp_path, case, **changes))


def test_what_lightningdit_takes_is_said(tmp_path):
    silent = {"data__latent_multiplier": ..., "sample__timestep_shift": ...}
    facts = peek(written(tmp_path, LIGHTNING, **silent))
    assert facts.scale == 0.18215
    assert [said.split(":")[0].rpartition(".")[2] for said in facts.assumed] == [
        "latent_multiplier", "timestep_shift",
    ]  # fmt: skip
    (tmp_path / "n").mkdir()
    without = peek(written(tmp_path / "n", LIGHTNING, data__latent_norm="no"))
    assert without.scale == 1.0


def test_shorter_chains_keep_the_ends_of_a_thousand_steps(tmp_path):
    silent = {"diffusion__beta_start": ..., "diffusion__beta_end": ...}
    facts = peek(written(tmp_path, "dit", diffusion__timesteps=500, **silent))
    assert (facts.process["beta_start"], facts.process["beta_end"]) == (0.0002, 0.04)


def test_a_table_without_dropout_has_no_row_for_none(tmp_path):
    params = {"model__params__num_classes": ..., "model__params__class_dropout_prob": 0.0}
    facts = peek(written(tmp_path, "dit", **params))
    assert (facts.classes, facts.null_class) == (1001, None)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"latents_mean": [0.0] * 2, "latents_std": [1.0, 0.0]}, "numbers above 0"),
        ({"latents_mean": [0.1] * 2, "latents_std": [1.0] * 2, "shift_factor": 0.5}, "only one"),
        ({"_class_name": "AutoencoderKLQwenImage"}, "write both into it"),
    ],
)
def test_statistics_that_cannot_be_are_refused(config, said):
    with pytest.raises(InputError, match=said):
        rule(config)


def rule(config, kind="kl"):
    return folder_rule(
        {"_class_name": "AutoencoderKL"} | config,
        {}, kind=kind, f=8, channels=2, model_scale=None, root=Path("vae"),
    )  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), [("AutoencoderDC", "ae"), ("AutoencoderTiny", "tiny")])
def test_the_scale_of_a_class_is_said(name, kind):
    found = rule({"_class_name": name}, kind)
    assert found.scale == 1.0
    assert "the default of its class" in found.assumed[0]

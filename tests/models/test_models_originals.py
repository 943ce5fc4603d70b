"""DiT, SiT, REPA, LightningDiT: networks, latents and samples of their own code, reproduced."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.sample import timesteps_of
from ldmbench.sources.models.peek import model_digest, peek

pytestmark = pytest.mark.golden
GOLDEN = Path(__file__).parents[1] / "golden" / "today"
CASES = ("dit", "dit-train", "sit", "sit-noise", "repa", "lightningdit", "lightningdit-woshift")
FLOWS = CASES[2:]
TOLERANCE = 2e-4
DIT_TOLERANCE = 5e-5
ACCURATE = 3e-3


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def golden():
    kept = {}

    def of(case):
        if case not in kept:
            kept[case] = load(GOLDEN / case), np.load(GOLDEN / case / "golden.npz")
        return kept[case]

    return of


def apart(ours, theirs):
    theirs = torch.as_tensor(theirs)
    return float((ours - theirs).abs().max() / theirs.abs().max())


def sampled(model, arrays, name, **how):
    how = {"cond": torch.from_numpy(arrays["y"]), "decode": False} | how
    return apart(model.sample(torch.from_numpy(arrays["x_T"]), **how), arrays[name])


def test_eps_of_dit_is_that_of_its_averaged_weights(golden):
    for case in CASES[:2]:
        model, arrays = golden(case)
        x, t, y = (torch.from_numpy(arrays[name]) for name in ("x", "t", "y"))
        assert apart(model.eps(x, t, y), arrays["eps"]) < TOLERANCE
    raw = load(GOLDEN / "dit-train", ema=False)
    assert apart(raw.eps(x, t, y), arrays["eps_raw"]) < TOLERANCE
    assert (model.info.weights, raw.info.weights) == ("ema", "raw")


@pytest.mark.parametrize("case", CASES[:2])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("ddpm10", {"sampler": "ddpm"}),
        ("ddpm10_cfg", {"sampler": "ddpm", "guidance": None}),
        ("ddim10", {}),
        ("ddim10_cfg", {"guidance": None}),
        ("ddim10_eta1", {"eta": 1.0}),
        ("ddim10_strided", {"timesteps": "leading"}),
    ],
)
def test_samples_of_dit(golden, case, name, how):
    model, arrays = golden(case)
    how = dict(how)
    if "guidance" in how:
        how["guidance"] = float(arrays["cfg_scale"])
    if how.get("sampler") or how.get("eta"):
        how["step_noise"] = torch.from_numpy(arrays["noises"])
    assert sampled(model, arrays, name, steps=10, **how) < DIT_TOLERANCE


@pytest.mark.parametrize("case", FLOWS)
def test_velocity_in_the_source_s_time_and_sign(golden, case):
    model, arrays = golden(case)
    x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    null = torch.full_like(y, int(arrays["null_class"]))
    for place, t in enumerate(arrays["vel_t"]):
        t = torch.full((len(x),), float(t))
        assert apart(model.velocity(x, t, y), arrays["velocity"][place]) < TOLERANCE
        assert apart(model.velocity(x, t, null), arrays["velocity_null"][place]) < TOLERANCE


def test_noise_of_a_flow_is_what_its_score_says(golden):
    for case in ("sit", "repa"):
        model, arrays = golden(case)
        x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
        times = arrays["vel_t"][-1 - len(arrays["score"]) : -1]
        for t, score in zip(map(float, times), arrays["score"], strict=True):
            noise = -torch.from_numpy(score) * (t if model.info.flow.noise_at == 1 else 1 - t)
            assert apart(model.eps(x, torch.tensor(t), y), noise) < TOLERANCE


def steps_of(arrays, name):
    wanted = "num_steps_sde" if name.startswith("sde") else "num_steps_ode"
    return int(arrays["num_steps" if "num_steps" in arrays.files else wanted])


def interval_of(model, arrays, name):
    if "edges" in name:
        return tuple(map(float, arrays["edges_low_high"]))
    if "interval" in name and "guidance_low" in arrays.files:
        return float(arrays["guidance_low"]), float(arrays["guidance_high"])
    return None if "interval" in name else (0.0, 1.0)


SAMPLES = {
    "sit": ("ode_euler", "ode_euler_cfg", "ode_heun2", "ode_heun2_cfg", "ode_dopri5",
            "ode_dopri5_cfg", "sde", "sde_cfg"),
    "repa": ("ode_euler", "ode_heun", "ode_euler_cfg", "ode_euler_cfg_interval",
             "ode_heun_cfg_interval", "ode_euler_cfg_edges", "sde", "sde_cfg", "sde_cfg_interval"),
    "lightningdit": ("ode_euler", "ode_euler_cfg", "ode_euler_cfg_interval",
                     "ode_heun2_cfg_interval", "ode_dopri5"),
}  # fmt: skip
SAMPLES |= {"sit-noise": SAMPLES["sit"], "lightningdit-woshift": SAMPLES["lightningdit"]}


@pytest.mark.parametrize(("case", "name"), [(c, n) for c in FLOWS for n in SAMPLES[c]])
def test_samples_of_a_flow_by_the_source_s_conventions(golden, case, name):
    model, arrays = golden(case)
    sampler = next(s for s in ("euler", "heun", "dopri5", "sde") if s in name)
    how = {"sampler": sampler, "steps": steps_of(arrays, name)}
    if "cfg" in name:
        interval = interval_of(model, arrays, name)
        how |= {"guidance": float(arrays["cfg_scale"]), "guidance_interval": interval}
    if sampler == "sde":
        how["step_noise"] = torch.from_numpy(arrays["noises"])
    wanted = ACCURATE if sampler == "dopri5" else TOLERANCE
    assert sampled(model, arrays, name, **how) < wanted


@pytest.mark.parametrize("case", ["dit", "sit", "repa"])
def test_first_stage_beside_a_checkpoint(golden, case):
    model, arrays = golden(case)
    assert apart(model.encode(torch.from_numpy(arrays["enc_x"])), arrays["encode"]) < TOLERANCE
    assert apart(model.decode(torch.from_numpy(arrays["z"])), arrays["decode"]) < TOLERANCE


def test_uint8_by_the_source_s_rule(golden):
    for case, name, how in (
        ("dit", "ddpm10_cfg_u8", {"steps": 10, "sampler": "ddpm"}),
        ("sit", "ode_euler_cfg_u8", {"steps": 6, "sampler": "euler"}),
        ("repa", "sde_cfg_interval_u8", {"steps": 8, "sampler": "sde"}),
    ):
        model, arrays = golden(case)
        how |= {"guidance": float(arrays["cfg_scale"]), "cond": torch.from_numpy(arrays["y"])}
        if how["sampler"] != "euler":
            how["step_noise"] = torch.from_numpy(arrays["noises"])
        if "interval" in name:
            how["guidance_interval"] = interval_of(model, arrays, name)
        made = model.sample(torch.from_numpy(arrays["x_T"]), **how)
        off = np.abs(made.astype(int) - arrays[name].astype(int))
        assert off.max() <= 1, name
        assert (off == 0).mean() >= 0.98, name


def test_what_weights_do_not_say_is_asked_for(tmp_path):
    bare = tmp_path / "SiT.pt"
    bare.write_bytes((GOLDEN / "sit-noise" / "SiT-T-2-noise.pt").read_bytes())
    with pytest.raises(InputError, match="write whose it is into"):
        load(bare)
    sit = {"model": {"target": "models.SiT"}}
    with pytest.raises(InputError, match="how many heads"):
        load(bare, config=sit)
    sit["model"]["params"] = {"num_heads": 3}
    with pytest.raises(InputError, match="path_type is not stated"):
        load(bare, config=sit)
    sit["transport"] = {"path_type": "Linear", "prediction": "noise"}
    model = load(bare, config=sit)
    assert (model.info.flow.prediction, model.info.null_class) == ("noise", 100)
    with pytest.raises(InputError, match="names no first stage"):
        model.decode(torch.zeros(1, 4, 8, 8))
    with pytest.raises(InputError, match="names no first stage"):
        model.sample(torch.zeros(1, 4, 8, 8), steps=2, cond=[1])


def test_sources_that_contradict_each_other_are_refused():
    repa = GOLDEN / "repa" / "0050000.pt"
    with pytest.raises(InputError, match="they do not belong together"):
        load(repa, config={"model": {"target": "models.SiT", "params": {"num_heads": 4}}})
    with pytest.raises(InputError, match="does not fit the width"):
        load(repa, config={"model": {"target": "models.sit.SiT", "params": {"num_heads": 5}}})
    wide = {"target": "models.sit.SiT", "params": {"num_heads": 4, "num_classes": 7}}
    with pytest.raises(InputError, match="num_classes is stated unlike each other"):
        load(repa, config={"model": wide})


def test_arguments_in_the_file_say_what_no_config_says(tmp_path):
    alone = tmp_path / "0050000.pt"
    alone.write_bytes((GOLDEN / "repa" / "0050000.pt").read_bytes())
    model = load(alone, config={"model": {"params": {"num_heads": 4}}})
    assert (model.info.source, model.info.flow.noise_at) == ("repa:SiT", 1)
    assert model.info.left_out == ("projectors.* (6)",)


def test_plan_and_loader_agree():
    for case in CASES:
        place = GOLDEN / case
        model, facts = load(place), peek(place)
        assert model.info.digest == model_digest(place)
        assert facts.sides == tuple(model.info.f * side for side in model.info.latent_shape[1:])
        assert (model.info.flow is None) == (not facts.flow)
        for name in ("source", "f", "weights", "null_class", "quantize", "scale", "timesteps"):
            assert getattr(facts, name) == getattr(model.info, name), (case, name)


def test_words_that_a_flow_does_not_have(golden):
    model, _ = golden("sit")
    noise, cond = torch.zeros(1, 4, 8, 8), [3]
    for how, said in (
        ({"sampler": "ddim"}, "a flow, which 'ddim' cannot sample"),
        ({"eta": 1.0}, "no eta"),
        ({"timesteps": "leading"}, "no timestep rule"),
        ({"sampler": "sde"}, "give seeds"),
    ):
        with pytest.raises(InputError, match=said):
            model.sample(noise, steps=4, cond=cond, decode=False, **how)
    with pytest.raises(InputError, match="has no velocity"):
        golden("dit")[0].velocity(noise, torch.zeros(1), cond)


def test_late_blocks_of_old_files_and_wrapped_names(tmp_path, golden):
    model, arrays = golden("repa")
    held = torch.load(GOLDEN / "repa" / "0050000.pt", weights_only=False)["ema"]
    old = {f"module.{n.replace('blocks.1.', 'decoder_blocks.0.')}": t for n, t in held.items()}
    torch.save({"ema": old, "opt": {"state": {}}}, tmp_path / "old.pt")
    again = load(tmp_path / "old.pt", config=GOLDEN / "repa" / "config.yaml")
    x, y = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"])
    t = torch.tensor(0.5)
    assert torch.equal(again.velocity(x, t, y), model.velocity(x, t, y))


def test_guided_channels_of_the_source_and_all_of_them(golden):
    model, arrays = golden("sit")
    assert model.info.guided_channels == 3
    every = load(GOLDEN / "sit", guided_channels=4)
    noise = torch.from_numpy(arrays["x_T"])
    how = {"steps": 3, "cond": torch.from_numpy(arrays["y"]), "decode": False, "guidance": 4.0}
    ours, theirs = model.sample(noise, **how), every.sample(noise, **how)
    assert not torch.equal(ours[:, 3], theirs[:, 3])


@pytest.mark.parametrize("case", ["dit", "sit", "repa"])
def test_converted_folders_sample_alike(tmp_path, golden, case):
    model, arrays = golden(case)
    folder = convert(model, tmp_path / case)
    again = load(folder)
    assert again.info.weights == model.info.weights
    noise, cond = torch.from_numpy(arrays["x_T"]), torch.from_numpy(arrays["y"])
    stochastic = {"sampler": "ddpm" if case == "dit" else "sde", "seeds": [1, 2]}
    for how in ({}, stochastic):
        how = {"steps": 5, "cond": cond, "guidance": 2.0, "decode": False} | how
        assert apart(again.sample(noise, **how), model.sample(noise, **how)) < 1e-6
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    assert index["_class_name"] == "DiffusionPipeline"
    assert index["transformer"][1] == "ModulatedTransformer2DModel"


def test_the_tokenizer_of_a_lightningdit_by_its_own_config(tmp_path):
    stage = GOLDEN.parent / "compvis" / "kl-f8"
    held = torch.load(GOLDEN / "lightningdit" / "lightningdit-t.pt", weights_only=True)["ema"]
    channels = load(stage).info.latent_shape[0]
    for name, rows in (("x_embedder.proj.weight", (slice(None), slice(channels))),
                       ("final_layer.linear.weight", slice(channels)),
                       ("final_layer.linear.bias", slice(channels))):  # fmt: skip
        held[name] = held[name][rows].clone()
    torch.save({"ema": held}, tmp_path / "model.pt")
    stats = {"mean": torch.linspace(-1, 1, channels), "std": torch.linspace(0.5, 2, channels)}
    torch.save({n: v.reshape(1, -1, 1, 1) for n, v in stats.items()}, tmp_path / "latents_stats.pt")
    (tmp_path / "tokenizer").mkdir()
    shutil.copy(stage / "model.ckpt", tmp_path / "tokenizer" / "vae.ckpt")
    shutil.copy(stage / "config.yaml", tmp_path / "tokenizer" / "f8.yaml")
    (tmp_path / "config.yaml").write_text(
        "data: {data_path: ., num_classes: 1000, latent_norm: true, latent_multiplier: 2.0}\n"
        "vae: {ckpt_path: tokenizer/vae.ckpt, config: tokenizer/f8.yaml, downsample_ratio: 8}\n"
        "model: {model_type: LightningDiT-T/1, num_heads: 2}\n"
        "transport: {path_type: Linear, prediction: velocity}\n"
    )
    model, alone = load(tmp_path), load(stage)
    assert model.info.digest == model_digest(tmp_path)
    assert (model.info.f, peek(tmp_path).sides) == (8, (48, 48))
    x = torch.linspace(-1, 1, 3 * 48 * 48).reshape(1, 3, 48, 48)
    mean, std = (stats[n].reshape(1, -1, 1, 1) for n in ("mean", "std"))
    assert apart(model.encode(x), (alone.encode(x) - mean) / std * 2) < 1e-5
    assert apart(model.decode(model.encode(x)), alone.decode(alone.encode(x))) < 1e-4
    (tmp_path / "latents_stats.pt").unlink()
    with pytest.raises(InputError, match="normalised by latents_stats"):
        load(tmp_path / "model.pt")


def test_timesteps_of_dit_are_respaced_as_iddpm_does(golden):
    model, arrays = golden("dit")
    for name, steps in (("timesteps_7", 7), ("timesteps_10", 10), ("timesteps_250", 250)):
        visited = timesteps_of("ddpm", steps, schedule=model.info.schedule)
        assert visited[::-1] == arrays[name].tolist()

"""guided-diffusion's upsamplers: a small image, enlarged bilinearly, joins the noisy one."""

import compvis_reference as ref
import compvis_zoo as zoo
import numpy as np
import pytest
import tiny
import torch
from comparing import apart, one_thread  # noqa: F401

from ldmbench import errors
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.models.suite_model import SuiteModel
from ldmbench.models.tasks import Truth
from ldmbench.sample import initial_noise
from ldmbench.schema.models import LoadModel
from ldmbench.schema.params import Sampling
from ldmbench.sources.models.peek import peek
from ldmbench.suite.models import check_loaded

SMALL = {
    "large_size": 16,
    "small_size": 8,
    "num_channels": 32,
    "num_res_blocks": 1,
    "channel_mult": "1,2",
    "attention_resolutions": "16,8",
    "num_heads": 4,
    "learn_sigma": True,
    "resblock_updown": True,
}


def write(folder, flags, *, mult=(1, 2), attends=(1, 2), side=16):
    """Write a checkpoint and its flags; return noise, steps, the condition and the prediction."""
    labelled = bool(flags.get("class_cond"))
    p = zoo.unet(
        in_channels=6,
        out_channels=6 if flags.get("learn_sigma") else 3,
        model_channels=flags["num_channels"],
        channel_mult=mult,
        attention_resolutions=attends,
        num_heads=4,
        num_head_channels=-1,
        num_classes=flags["num_classes"] if labelled else None,
        use_scale_shift_norm=True,
        resblock_updown=bool(flags.get("resblock_updown")),
    )
    w = ref.Weights()
    z, t = initial_noise([0, 1], seed=0, shape=(3, side, side)), torch.tensor([4, 900])
    less = side * flags["small_size"] // flags["large_size"]
    image, labels = (
        initial_noise([0, 1], seed=1, shape=(3, less, less)).tanh(),
        torch.tensor([1, 4]),
    )
    enlarged = torch.nn.functional.interpolate(image, (side, side), mode="bilinear")
    with torch.no_grad():
        out = ref.unet(w, "", torch.cat([z, enlarged], 1), t, p, labels=labels)[:, :3]
    folder.mkdir()
    torch.save(dict(w), folder / "model.pt")
    (folder / "config.yaml").write_text("\n".join(f"{k}: {v}" for k, v in flags.items()))
    return z, t, {"labels": labels, "image": image} if labelled else image, out


@pytest.mark.parametrize("labelled", [False, True])
def test_an_upsampler_is_told_a_small_image(tmp_path, labelled):
    told = {"class_cond": True, "num_classes": 5} if labelled else {"learn_sigma": False}
    z, t, cond, theirs = write(tmp_path / "up", SMALL | told)
    model, facts = load(tmp_path / "up"), peek(tmp_path / "up")
    assert apart(model.eps(z, t, cond), theirs) < 1e-5
    assert model.info.latent_shape == (3, 16, 16)
    assert (facts.sides, facts.f) == ((16, 16), 1)
    kind = "class-image" if labelled else "image"
    assert facts.conditioning == model.info.conditioning == kind
    assert facts.classes == (5 if labelled else None)
    assert model.sample(z, steps=4, cond=cond).shape == (2, 16, 16, 3)
    written = load(convert(model, tmp_path / "out"))
    assert apart(written.eps(z, t, cond), model.eps(z, t, cond)) < 1e-5
    assert written.condition == model.condition
    assert peek(tmp_path / "out").conditioning == kind
    run = {"steps": 4, "cond": cond, "sampler": "ddpm", "seeds": [1, 2], "decode": False}
    assert apart(written.sample(z, **run), model.sample(z, **run)) < 1e-5
    if labelled:
        with pytest.raises(errors.InputError, match="without a null class"):
            model.sample(z, steps=2, cond=cond, guidance=2.0)
        null = cond | {"image": torch.zeros_like(cond["image"])}
        model.sample(z, steps=2, cond=cond, uncond=null, guidance=2.0)
    else:
        model.sample(z, steps=2, cond=cond, guidance=2.0)


def test_upsamplers_to_512_have_widths_of_their_own(tmp_path):
    flags = {"large_size": 512, "small_size": 128, "num_channels": 32, "num_res_blocks": 1}
    flags |= {"attention_resolutions": "32,16", "num_heads": 4}
    mult = (1, 1, 2, 2, 4, 4)
    z, t, cond, theirs = write(tmp_path / "up", flags, mult=mult, attends=(16, 32), side=32)
    assert cond.shape[2:] == (8, 8)
    assert apart(load(tmp_path / "up").eps(z, t, cond), theirs) < 1e-5


def test_a_suite_gives_small_images_and_refuses_labels_with_them(tmp_path):
    write(tmp_path / "up", SMALL)
    write(tmp_path / "told", SMALL | {"class_cond": True, "num_classes": 5})
    specs = [LoadModel(kind="load", path=name) for name in ("up", "told")]
    assert not list(check_loaded(specs[0], tmp_path, data={}))
    [(field, said)] = check_loaded(specs[1], tmp_path, data={})
    assert field == "path"
    assert "with the conditioning class-image, which no data set of a suite has" in said
    subject = SuiteModel(load(tmp_path / "up"))
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    truth = Truth(np.arange(2), images, ("", ""), np.zeros(2, np.int64))
    told = subject.condition(captions=None, labels=None, truth=truth)
    assert told.shape == (2, 3, 8, 8)
    params = Sampling(**{**tiny.SAMPLING, "guidance": 1.0})
    noise = initial_noise([0, 1], seed=0, shape=subject.shape)
    drawn = subject.draw(noise, condition=told, params=params, seeds=[0, 1])
    assert drawn.shape == (2, 16, 16, 3)
    assert subject.work(params).denoiser > 0


def test_broken_upsamplers_and_conditions_are_refused(tmp_path):
    z, t, cond, _ = write(tmp_path / "up", SMALL | {"class_cond": True, "num_classes": 5})
    path, flags = tmp_path / "up" / "model.pt", SMALL | {"class_cond": True, "num_classes": 5}
    for changes, said in (
        ({"small_size": 16}, "small_size is 16 and large_size 16; allowed is"),
        ({"small_size": 0}, "small_size is 0 and large_size 16"),
        ({"small_size": "few"}, "value of the wrong kind.*few"),
        ({"channel_mult": ""}, "image size 16 needs channel_mult; known: .512, 256, 64."),
        ({"class_cond": False}, "num_classes is not stated, but label_emb.weight"),
        ({"num_classes": 6}, "num_classes is 6, but label_emb.weight is .5"),
    ):
        refused(lambda changes=changes: load(path, config=flags | changes), said)
    plain = {k: v for k, v in flags.items() if k not in ("large_size", "small_size")}
    plain["image_size"] = 16
    refused(
        lambda: load(path, config=plain),
        "in_channels is 3, but input_blocks.0.0.weight is .32, 6, 3, 3.",
    )
    model, image, labels = load(path, config=flags), cond["image"], cond["labels"]
    for told, said in (
        (None, "cond must be a mapping with labels, image"),
        (image, "cond must be a mapping with labels, image"),
        ({"image": image}, "cond must be a mapping with labels, image"),
        ({"labels": labels, "image": z}, r"low-resolution image must be \(2, 3, 8, 8\), found"),
        ({"labels": labels, "image": None}, "needs the low-resolution image"),
        ({"labels": labels + 1, "image": image}, r"class labels must lie in \[0, 5\)"),
    ):
        refused(lambda told=told: model.eps(z, t, told), said)


def refused(call, said):
    with pytest.raises(errors.InputError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)

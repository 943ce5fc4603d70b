"""Conditions of models that are trained here: the same in training, in sampling and when loaded."""

import numpy as np
import pytest
import torch

from ldmbench.catalog.tasks import TASKS, joined_channels
from ldmbench.data.shapes import render, split_indices
from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.conditioner import Brought
from ldmbench.models.denoiser import build_denoiser
from ldmbench.models.suite_model import SuiteModel
from ldmbench.models.tasks import Truth, blurred, condition_of
from ldmbench.sample import initial_noise
from ldmbench.schema.models import DenoiserParams
from ldmbench.sources.models.peek import peek

FROM_IMAGES = [name for name, row in TASKS.items() if row.input == "truth"]
CASES = [
    *((name, {}) for name in FROM_IMAGES),
    ("superresolution", {"scale": 2}),  # a small image larger than the latent
    ("superresolution", {"scale": 8, "downscale": "area"}),  # and a smaller one
    ("inpainting", {"mask": "thick"}),
    ("image", {"blur": 1.5}),
    ("layout", {"corners": "sines"}),
    ("class", {"inject": "add"}),
    ("caption", {"vocabulary": "open_clip", "caption_tokens": 24}),
]
NAMES = ["-".join([task, *map(str, fields.values())]) for task, fields in CASES]


def halve(x):
    """Stand for a first stage of f = 4: pixels, three channels."""
    return x[:, :, ::4, ::4]


def made(task, f=4, **fields):
    params = DenoiserParams(channels=8, context_channels=32, conditioning=task, **fields)
    brought = Brought(classes=48, objects=3, f=f, encode=halve if f > 1 else lambda x: x)
    sizes = {"latent_channels": 3, "latent_size": 32 // f}
    return build_denoiser(params, **sizes, brought=brought, seed=1).eval()


def truth(count=4):
    batch = render(split_indices("validation", 0, count), resolution=32)
    return Truth(indices=np.arange(count), **vars(batch))


def told(denoiser, known):
    return denoiser.conditions(captions=known.captions, labels=known.labels, truth=known)


def drawn(count, side=8):
    z = initial_noise(range(count), seed=0, shape=(3, side, side))
    return z, torch.arange(count) * 100


@pytest.mark.parametrize(("task", "fields"), CASES, ids=NAMES)
def test_what_is_trained_is_what_is_sampled_and_loaded(task, fields, tmp_path):
    denoiser, known, (z, t) = made(task, f=1, **fields), truth(), drawn(4, side=32)
    model = denoiser.model()
    subject = SuiteModel(model, batch=1)
    cond = subject.condition(captions=known.captions, labels=known.labels, truth=known)
    shown = told(denoiser, known)
    with torch.no_grad():
        wanted = denoiser(z, t, shown)
    if task == "caption":
        assert torch.equal(shown, model.condition.tokens(cond))
    else:
        assert torch.equal(torch.as_tensor(shown), cond)
    assert torch.equal(wanted, model.eps(z, t, cond))
    raw = {name: p.detach() for name, p in denoiser.named_parameters()}
    denoiser.save(tmp_path, raw=raw, apart=False)
    again = load(tmp_path)
    assert again.info.conditioning in TASKS[task].kinds
    assert getattr(again.condition, "given", {}) == getattr(model.condition, "given", {})
    assert peek(tmp_path).given == dict(getattr(model.condition, "given", {}))
    both = SuiteModel(again).condition(captions=known.captions, labels=known.labels, truth=known)
    assert both == cond if task == "caption" else torch.equal(both, cond)
    assert torch.allclose(again.eps(z, t, both), wanted, atol=1e-5)


@pytest.mark.parametrize(("task", "fields"), CASES, ids=NAMES)
def test_latents_take_what_is_joined(task, fields):
    denoiser, known, (z, t) = made(task, **fields), truth(), drawn(4)
    joined = joined_channels(task, channels=3, side=8, f=4, scale=denoiser.params.scale)
    assert denoiser.network.config.in_channels == 3 + joined
    assert denoiser.flops_per_image() > 0
    shown = told(denoiser, known)
    with torch.no_grad():
        one = denoiser(z, t, shown)
        other = denoiser(z, t, torch.roll(shown, 1, 0))
    assert one.shape == z.shape
    assert not torch.allclose(one, other)  # permuted conditions change what is predicted


@pytest.mark.parametrize(("task", "fields"), CASES, ids=NAMES)
def test_what_is_dropped_is_the_null_condition(task, fields):
    denoiser, known, (z, t) = made(task, **fields), truth(), drawn(4)
    shown, model = told(denoiser, known), denoiser.model()
    dropped = torch.tensor([True, False, True, False])
    with torch.no_grad():
        mixed = denoiser(z, t, shown, dropped)
        null = model.condition.inputs(model.condition.null(shown, z), z)
        wanted = model.predict(z, t, null)
        assert torch.allclose(mixed[0::2], wanted[0::2], atol=1e-5)
        assert torch.allclose(mixed[1::2], denoiser(z, t, shown)[1::2], atol=1e-5)


def test_masks_of_a_training_are_its_own():
    denoiser, known = made("inpainting"), truth()
    first = denoiser.conditions(truth=known, seed=1)
    assert torch.equal(first, denoiser.conditions(truth=known, seed=1))
    assert not torch.equal(first, denoiser.conditions(truth=known, seed=2))


def test_blur_is_a_gaussian():
    image = np.zeros((1, 33, 33, 3), np.uint8)
    image[0, 16, 16] = 255
    found = (blurred(image, 2.0)[0, 0] + 1) / 2
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-4)
    at = torch.arange(33) - 16.0
    assert float((found.sum(0) * at**2).sum()) == pytest.approx(4.0, rel=0.03)
    flat = np.full((1, 16, 16, 3), 77, np.uint8)
    assert torch.allclose(blurred(flat, 3.0), torch.tensor(77 / 127.5 - 1), atol=1e-5)


def test_data_without_boxes_or_masks_are_refused():
    known = Truth(
        indices=np.arange(1),
        images=np.zeros((1, 32, 32, 3), np.uint8),
        captions=("",),
        labels=np.zeros(1, np.int64),
    )
    for task in ("layout", "semantic"):
        with pytest.raises(InputError, match="has no"):
            condition_of(made(task).condition, known, {}, side=8)


def test_vectors_of_corners_start_near_each_other_where_places_are_near():
    table = made("layout", corners="sines").condition.encoder.model.embed_tokens.weight.detach()
    assert table.shape == (1024, 32)
    assert float(table.var(1, correction=0).mean()) == pytest.approx(1, abs=0.1)
    grid = table.reshape(32, 32, 32)
    near = [(grid[:, 1:] - grid[:, :-1]).norm(dim=2), (grid[1:] - grid[:-1]).norm(dim=2)]
    far = (grid[:, 8:] - grid[:, :-8]).norm(dim=2)
    assert max(float(part.mean()) for part in near) < 0.8 * float(far.mean())
    random = made("layout").condition.encoder.model.embed_tokens.weight
    assert float(random.std()) == pytest.approx(0.02, rel=0.1)  # as in LDM

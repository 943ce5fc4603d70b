"""Regression: one evaluation that returns the clean latent of a condition, trained by its error."""

import numpy as np
import pytest
import torch
from test_models_trained_tasks import made, told, truth
from torch.nn.functional import mse_loss

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.suite_model import SuiteModel
from ldmbench.sample.schedule import REGRESSION, Schedule
from ldmbench.schema.models import DenoiserParams
from ldmbench.train.forward import forward_of


@pytest.mark.parametrize("task", ["superresolution", "inpainting", "image"])
def test_a_regression_is_one_evaluation_of_zeros_and_condition(task, tmp_path):
    denoiser, known = made(task, f=1, objective="regression"), truth()
    model, shown = denoiser.model(), told(denoiser, known)
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = denoiser(torch.zeros_like(noise), torch.zeros(4, dtype=torch.int64), shown)
    way = {"steps": 1, "cond": shown, "decode": False}
    found = model.sample(noise, **way)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.equal(found, model.sample(noise + 1, **way))  # noise says nothing
    denoiser.save(tmp_path, raw=dict(denoiser.named_parameters()), apart=False)
    again = load(tmp_path)
    assert again.info.schedule.is_regression
    cond = SuiteModel(again).condition(captions=None, labels=None, truth=known)
    assert torch.allclose(again.sample(noise, **way | {"cond": cond}), wanted, atol=1e-5)
    with pytest.raises(InputError, match="regression: it predicts no noise"):
        again.eps(noise, torch.zeros(4, dtype=torch.int64), cond)
    with pytest.raises(InputError, match="steps"):
        again.sample(noise, **way | {"steps": 2, "cond": cond})


def test_training_asks_for_the_clean_latent_without_noise_and_with_its_condition():
    params = DenoiserParams(objective="regression", conditioning="inpainting")
    assert params.dropped == 0
    forward = forward_of(params, torch.device("cpu"))
    t = forward.times(5, torch.Generator().manual_seed(0))
    levels = forward.levels(t)
    assert t.tolist() == [0] * 5
    assert [float(level.abs().max()) for level in levels] == [0, 0]
    clean, out = torch.randn(2, 5, 3, 4, 4).unbind(0)
    assert forward.loss(out, clean, torch.randn_like(clean), levels) == mse_loss(out, clean)


def test_no_diffusion_is_taken_for_a_regression():
    assert REGRESSION.is_regression
    assert Schedule.from_config(REGRESSION.config()).is_regression
    betas = tuple(np.linspace(1e-3, 1.0, 10).tolist())
    for other in (Schedule(), Schedule(kind="array", T=10, betas=betas)):
        assert not other.is_regression

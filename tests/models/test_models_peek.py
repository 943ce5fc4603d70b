"""What configs say of a model before it is loaded is what the loaded model says of itself."""

import json
import shutil
from pathlib import Path

import compvis_zoo as zoo
import pytest
import tiny

from ldmbench.errors import InputError
from ldmbench.models import load
from ldmbench.models.convert import convert
from ldmbench.models.suite_model import SuiteModel
from ldmbench.schema.params import Sampling
from ldmbench.sources.models.peek import model_digest, peek

GOLDEN = Path(__file__).parents[1] / "golden" / "diffusers" / "ldm"
SAME = ("f", "conditioning", "regularization", "quantize", "timesteps", "weights", "null_class",
        "source")  # fmt: skip


def agree(path, ema=True):
    facts, model = peek(path, ema=ema), load(path, ema=ema)
    info = model.info
    assert {n: getattr(facts, n) for n in SAME} == {n: getattr(info, n) for n in SAME}
    assert facts.sides == tuple(info.f * side for side in info.latent_shape[1:])
    assert model_digest(path) == info.digest
    return model


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_the_compvis_zoo_and_its_folders(name, tmp_path):
    zoo.make(name, tmp_path / name)
    model = agree(tmp_path / name)
    if name in ("churches", "text"):
        assert agree(tmp_path / name, ema=False).info.weights == "raw"
    agree(convert(model, tmp_path / "folder"))


def test_a_subject_counts_and_is_told_by_classes(tmp_path):
    zoo.make("classes", tmp_path)
    model = load(tmp_path)
    subject = SuiteModel(model)
    params = Sampling(**{**tiny.SAMPLING, "guidance": 2.0})
    work = subject.work(params)
    assert (work.evaluations, work.batch) == (2, None)
    assert work.denoiser > 0
    assert work.decoder > 0
    assert work.parameters + work.autoencoder_parameters == model.info.parameters
    from ldmbench.sample import initial_noise

    noise = initial_noise([0, 1], seed=0, shape=subject.shape)
    told = subject.condition(captions=None, labels=[3, 4])
    images = subject.draw(noise, condition=told, params=params, seeds=[0, 1])
    side = model.info.f * subject.shape[1]
    assert images.shape == (2, side, side, 3)
    x = initial_noise([0, 1], seed=1, shape=(3, side, side)).tanh()
    assert (model.rate(x).bits_per_pixel > 0).all()


@pytest.mark.parametrize("changes", [{"sample_size": None}, {}])
def test_a_unet_without_a_sample_size_is_planned_as_it_is_loaded(changes, tmp_path):
    folder = shutil.copytree(GOLDEN, tmp_path / "m")
    place = folder / "unet" / "config.json"
    content = json.loads(place.read_text())
    del content["sample_size"]
    place.chmod(0o644)
    place.write_text(json.dumps(content | changes))
    assert agree(folder).info.latent_shape[1:] == (64, 64)


@pytest.mark.parametrize("value", ["big", [8], {"side": 8}])
def test_a_folder_with_a_value_of_the_wrong_kind_is_refused(value, tmp_path):
    folder = shutil.copytree(GOLDEN, tmp_path / "m")
    place = folder / "unet" / "config.json"
    place.chmod(0o644)
    place.write_text(json.dumps(json.loads(place.read_text()) | {"sample_size": value}))
    with pytest.raises(InputError, match="a value of the wrong kind"):
        peek(folder)

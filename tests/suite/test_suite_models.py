"""Models from disk in a suite: whether their images can be compared with those of a dataset."""

import json
from types import SimpleNamespace

import pytest

from ldmbench.schema.models import LoadModel
from ldmbench.suite.models import check_loaded

SCHEDULER = {"_class_name": "DDPMScheduler", "_diffusers_version": "0.30.0", "clip_sample": True,
             "beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02,
             "num_train_timesteps": 1000, "prediction_type": "epsilon"}  # fmt: skip


def pixel_model(folder, takes, makes):
    """Write the configs of a model in pixel space, whose weights say nothing of its sizes."""
    folder.mkdir()
    unet = {"_class_name": "UNet2DModel", "sample_size": 32, "in_channels": takes,
            "out_channels": makes}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(unet))
    (folder / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(content)
    return LoadModel(kind="load", path=str(folder))


@pytest.mark.parametrize(
    ("takes", "makes", "said"),
    [
        (3, 3, None),
        (3, 6, None),  # with a learned variance
        (6, 3, None),  # told an RGB image
        (1, 1, "a model of images of 1 channels; allowed: RGB images"),
        (4, 4, "a model of images of 4 channels"),
        (4, 3, "whose condition is an image of 1 channels"),
    ],
)
def test_a_suite_measures_rgb(tmp_path, takes, makes, said):
    spec = pixel_model(tmp_path / "m", takes, makes)
    data = {"s": SimpleNamespace(resolution=32, kind="call", classes=2)}
    found = [text for _, text in check_loaded(spec, tmp_path, data=data)]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]

"""Flags in words, numbers in quotes and references, as the configs' own readers take them."""

import pytest

from ldmbench.errors import InputError
from ldmbench.sources.models.adm_config import read_flags
from ldmbench.sources.models.config_values import resolved, settled


@pytest.mark.parametrize(
    "word", ["no", "No", "off", "False", "FALSE", "0", "n", "f", 0, 0.0, False]
)
def test_no_is_false(word):
    assert settled({"a": {"predict_xstart": word}}, "here") == {"a": {"predict_xstart": False}}


@pytest.mark.parametrize("word", ["yes", "on", "True", "1", "t", 1, True])
def test_yes_is_true(word):
    assert settled({"learn_sigma": word}, "here") == {"learn_sigma": True}


@pytest.mark.parametrize("word", ["maybe", 2, "None", [True]])
def test_a_flag_that_is_neither_is_refused(word):
    with pytest.raises(InputError, match=r"here: class_cond is '.*'; allowed are true and false"):
        settled({"class_cond": word}, "here")


def test_numbers_in_quotes_are_numbers_and_none_is_nothing():
    told = {"num_classes": "7", "linear_start": "1e-4", "num_heads": "None", "key": "1", "dims": 2}
    want = {"num_classes": 7, "linear_start": 1e-4, "key": "1", "dims": 2}
    assert settled(told, "here") == want


def test_references_within_the_file_are_written_out():
    content = {
        "size": 8,
        "sizes": [4, 8],
        "model": {
            "base": {"z": 3},
            "params": {
                "image_size": "${size}",
                "channels": "${.more.z}",
                "more": {"z": 4, "up": "${..channels}"},
                "first": "${model.base}",
                "name": "ldm-${sizes[1]}-${model.base.z}",
                "ckpt_path": "${oc.env:HOME}/x",
            },
        },
        "data": {"root": "${oc.env:DATA}"},
    }
    found = resolved(content, "here")
    assert found["model"]["params"] == {
        "image_size": 8,
        "channels": 4,
        "more": {"z": 4, "up": 4},
        "first": {"z": 3},
        "name": "ldm-8-3",
        "ckpt_path": "${oc.env:HOME}/x",
    }
    assert found["data"] == content["data"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("${nowhere.at.all}", "the file has no nowhere.at.all; write its value"),
        ("${oc.env:SIZE}", "only references within the file are read"),
        ("${model.image_size}", "in a circle, or too deep"),
        ("${model", r"a reference is written \$\{section.name\}"),
        ("a ${other}", "a section cannot stand inside a text"),
        ("${other}${long}${long}${long}", "a section cannot|grows too long"),
        ("???", "its author left it to be filled in"),
    ],
)
def test_references_to_nothing_are_refused_by_name(value, said):
    content = {"other": {"a": 1}, "long": "x" * 5000, "model": {"image_size": value}}
    with pytest.raises(InputError, match=r"here: model\.image_size is .*" + said):
        resolved(content, "here")


GUIDED = {"image_size": 64, "num_channels": 32, "num_head_channels": 16}
IMPROVED = {"image_size": 64, "num_channels": 32, "sigma_small": False}
PLAIN = {"image_size": 64, "num_channels": 32}


@pytest.mark.parametrize(
    ("flags", "steps", "scale", "source"),
    [
        (GUIDED, 4000, 1.0, "guided-diffusion"),
        (IMPROVED, 4000, 0.25, "improved-diffusion"),
        ({"image_size": 32}, 4000, 0.25, "improved-diffusion"),
        (PLAIN, 1000, 1.0, "guided-diffusion"),
        (PLAIN | {"rescale_timesteps": True}, 4000, 0.25, "guided-diffusion"),
        (IMPROVED | {"rescale_timesteps": False}, 4000, 1.0, "improved-diffusion"),
    ],
)
def test_timesteps_are_rescaled_as_whose_flags_they_are_does(flags, steps, scale, source):
    found = read_flags(flags | {"diffusion_steps": steps}, "here")
    assert (found.time_scale, found.source) == (scale, source)
    assert steps == found.schedule.T
    taken = {t.field: t.value for t in found.taken}
    stated = "rescale_timesteps" in flags or steps == 1000
    assert taken.get("rescale_timesteps") == (None if stated else scale != 1)
    assert taken["noise_schedule"] == "linear"


def test_channels_are_those_of_the_flags_and_null_is_not_stated():
    given = {"in_channels": 1, "learn_sigma": True, "num_heads_upsample": None}
    found = read_flags(GUIDED | given | {"channel_mult": "(1, 2)"}, "here")
    assert found.channels == found.unet["in_channels"] == 1
    assert found.unet["out_channels"] == 2
    assert found.unet["num_heads_upsample"] == -1
    assert found.unet["channel_mult"] == (1, 2)


def test_flags_that_could_be_anyones_are_asked_about():
    with pytest.raises(InputError, match=r"write rescale_timesteps: true .* or false"):
        read_flags(PLAIN | {"diffusion_steps": 4000}, "here")
    assert read_flags({"image_size": 32, "num_channels": 32}, "here").unet["channel_mult"] == (
        1, 2, 2, 2,
    )  # fmt: skip

"""FDr of images from anywhere: distances over that of validation images that a person gives."""

import numpy as np
import pytest

import ldmbench
from ldmbench.errors import InputError, UnlikeError

PROTOCOL = "protocol: {0}\nversion: 1\nextractor: shapes-net\n"
TWO = PROTOCOL.format("two") + "fdr_extractors: [shapes-net, shapes-clip]\n"
PRINTED = PROTOCOL.format("printed") + "fdr_normalisers: printed\nfdr_extractors: [{0}]\n"
REAL = "shapes:32:96"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("ratio")
    rng = np.random.default_rng(0)
    for name, count in (("made", 40), ("unseen", 60), ("few", 10)):
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        np.savez(place / f"{name}.npz", arr_0=images)
    return place


def scored(folder, images, metric, **options):
    run = ldmbench.score(
        folder / f"{images}.npz",
        reference=REAL,
        metrics=[metric],
        store=folder / "store",
        **options,
    )
    return run.records[0]


def test_the_ratio_is_of_the_distances_that_score_gives(folder):
    (ratio,) = scored(folder, "made", "fdr", validation=folder / "unseen.npz", count=40).scores
    assert "|norm:validation" in ratio.signature
    assert "|v:40|" in ratio.signature
    assert ratio.low < ratio.value < ratio.high
    mine = scored(folder, "made", "fid").scores[0].value
    # Both are noise: nearly as far as each other.
    assert ratio.value == pytest.approx(1, abs=0.3)
    same = scored(folder, "made", "fdr", validation=folder / "few.npz")
    theirs = scored(folder, "few", "fid").scores[0].value
    assert same.scores[0].value == pytest.approx(mine / theirs, rel=1e-6)
    assert any("fewer than the 40 samples" in text for text in same.warnings)


def test_shapes_are_taken_from_the_validation_split(folder):
    (ratio,) = scored(folder, "made", "fdr", validation=REAL).scores
    assert "|val:shapes32-validation@" in ratio.signature
    assert ratio.value > 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, "Missing option '--validation'"),
        ({"validation": "shapes:64:96"}, UnlikeError, "64 x 64"),
    ],
)
def test_what_is_refused(folder, options, error, message):
    with pytest.raises(error, match=message):
        scored(folder, "made", "fdr", **options)


def test_validation_images_that_are_not_asked_for_or_are_the_reference_are_refused(folder):
    with pytest.raises(InputError, match="no metric asked for divides"):
        scored(folder, "made", "fid", validation=folder / "few.npz")
    with pytest.raises(UnlikeError, match="distance to itself"):
        ldmbench.score(
            folder / "made.npz", reference=folder / "few.npz", validation=folder / "few.npz",
            metrics=["fdr"], store=folder / "store",
        )  # fmt: skip


def test_several_extractors_look_at_all_sides(folder):
    (folder / "two.yaml").write_text(TWO)
    made = scored(
        folder, "made", "fdr", validation=folder / "unseen.npz", protocol=str(folder / "two.yaml")
    )
    assert "feat:shapes-net@" in made.scores[0].signature
    assert "+shapes-clip@" in made.scores[0].signature


@pytest.mark.parametrize(
    ("space", "validation", "message"),
    [
        ("shapes-net", None, "none is printed for shapes-net"),
        ("inception-v3-compat", None, "ImageNet at 256 px"),
        ("inception-v3-compat", REAL, "leave --validation out"),
    ],
)
def test_printed_normalisers_of_other_images_are_refused(folder, space, validation, message):
    (folder / "printed.yaml").write_text(PRINTED.format(space))
    protocol = str(folder / "printed.yaml")
    with pytest.raises(InputError, match=message):
        scored(folder, "made", "fdr", protocol=protocol, validation=validation)

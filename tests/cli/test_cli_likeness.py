"""Samples and references that are unlike: refused, allowed or warned of, by a stated rule."""

import numpy as np
import pytest

from ldmbench.catalog.extractors import extractor_named
from ldmbench.errors import InputError, UnlikeError
from ldmbench.plan.score import FeatureSource, drawn, files_source
from ldmbench.schema.reference import Reference
from ldmbench.schema.weights import weights_named
from ldmbench.scoring.checks import check, wanted_of, warnings_of
from ldmbench.scoring.sides import Side
from ldmbench.scoring.statistics import by_statistics
from ldmbench.suite.protocol_files import protocol_named

ADM, SHAPES = protocol_named("adm-2105.05233"), protocol_named("shapes-v1")
INCEPTION = weights_named("inception-v3-compat").sha256


def images(name="samples", *, count=3000, side=64, crop="none", lossy=0, left_out=()):
    source = files_source(
        name, f"/x/{name}", count=count, digest="d", resolution=side, crop=crop, resize="linear"
    )
    return Side(name, source, lossy=lossy, left_out=left_out, images={"a.png": "0"})


def built(*, crop="adm", resolution=64, extractor="inception-v3-compat", count=20_000, lossy=0):
    about = Reference(
        title="real", protocol="adm-2105.05233", extractor=extractor, weights=INCEPTION,
        resolution=resolution, crop=crop, resize="pil-bicubic", count=count, width=2048,
        lossy=lossy, source_digest="x", sha256="0" * 64,
    )  # fmt: skip
    source = FeatureSource("real", count, 2048, "f", extractor, INCEPTION, logits=True)
    return Side("real.npz", source, lossy=lossy, provenance=about)


def statistics(width=2048, *, spatial=0):
    moments = {"fid": (np.zeros(width), np.eye(width))}
    if spatial:
        moments["sfid"] = (np.zeros(spatial), np.eye(spatial))
    return Side("stats.npz", None, moments=moments)


@pytest.mark.parametrize(
    ("made", "real", "message"),
    [
        (images(side=32), built(), "samples are 32 x 32 pixels"),
        (images(crop="center"), built(), "crop is center in samples and adm in real.npz"),
        (images(), built(crop="lsun"), "crop is adm under adm-2105.05233 and lsun in real.npz"),
        (images(), built(extractor="inception-v3-clean"), "feat is inception-v3-compat@"),
        (images(), statistics(768), "stats.npz 768"),
    ],
)
def test_what_is_unlike_is_refused(made, real, message):
    with pytest.raises(UnlikeError, match=message):
        check(made, real, None, ADM, ["fid"])


def test_an_unlike_crop_may_be_allowed_and_is_said():
    made, real = images(crop="center"), built()
    check(made, real, None, ADM, ["fid"], allowed=["crop"])
    said = list(warnings_of(made, real, ADM, ["fid"]))
    assert any("crop is center for samples and adm in real.npz, as was allowed" in s for s in said)


def test_images_as_they_are_say_nothing_of_their_crop():
    check(images(), built(crop="none"), None, ADM, ["fid"])
    check(images(crop="adm"), built(), None, ADM, ["fid"])


def test_warnings_name_what_makes_a_number_less():
    said = "\n".join(
        warnings_of(images(count=500, lossy=3, left_out=("x.gif",)), built(), ADM, ["fid"])
    )
    assert "n = 500 samples for 2,048 features" in said
    assert "has n = 50,000; this is n = 500" in said
    assert "samples has lossy files and the other side has not" in said
    assert "1 files are not of a format that is read and are left out, such as x.gif" in said
    assert "rank-deficient" not in "\n".join(
        warnings_of(images(count=500), None, ADM, ["inception_score"])
    )


def test_warnings_name_the_folder_of_pairs():
    made, beside = images(lossy=3), images("pairs", lossy=3, left_out=("x.xcf",))
    said = "\n".join(warnings_of(made, None, SHAPES, ["psnr", "lpips"], beside=beside))
    assert "pairs: 3 images of the pairs are jpg or webp files" in said
    assert "compression changes psnr, lpips" in said
    assert "pairs: 1 files are not of a format that is read and are left out, such as x.xcf" in said
    unused = "\n".join(warnings_of(made, None, SHAPES, ["vendi_score"], beside=beside))
    assert "pairs" not in unused


def test_statistics_serve_fid_and_sfid_and_no_more():
    real, made = statistics(spatial=2023), images()
    assert wanted_of("", real, None, None) == ("fid", "sfid")
    check(made, real, None, ADM, ["fid", "sfid"])
    assert by_statistics(made, real, ADM, ["fid", "sfid", "kid"]) == ("fid", "sfid")
    with pytest.raises(InputError, match="which serve fid, sfid; kid, recall need images"):
        check(made, real, None, ADM, ["fid", "kid", "recall"])
    with pytest.raises(InputError, match="which serve fid; sfid need"):
        check(made, statistics(), None, ADM, ["sfid"])
    with pytest.raises(UnlikeError, match=r"stats.npz 100"):
        by_statistics(made, statistics(spatial=100), ADM, ["sfid"])


def test_statistics_of_other_features_beside_images_are_left_alone():
    both = images("batch.npz")
    both = Side("batch.npz", both.source, moments=statistics().moments, images=both.images)
    assert by_statistics(images(), both, ADM, ["fid"]) == ("fid",)
    assert by_statistics(images(), both, SHAPES, ["fid"]) == ()
    assert by_statistics(images(), both, protocol_named("clean-fid"), ["fid"]) == ()
    assert extractor_named(SHAPES.extractor).dim != 2048


def test_only_what_is_held_to_real_images_needs_them():
    check(images(), None, None, SHAPES, ["inception_score", "clip_score"])
    with pytest.raises(InputError, match="Missing option '--reference': kid"):
        check(images(), None, None, SHAPES, ["clip_score", "kid"])


def test_a_part_of_a_reference_is_drawn_by_digest():
    source = images(count=20_000).source
    assert drawn(source, ADM).source.order == "digest"
    assert drawn(source, SHAPES) is source
    said = "\n".join(warnings_of(images(), built(count=20_000), ADM, ["fid"]))
    assert "take the first 10,000 of 20,000 rows" in said

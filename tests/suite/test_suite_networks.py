"""Networks of a suite: an axis like any other; fields and sizes that do not fit are refused."""

import pytest

from ldmbench.errors import SuiteError
from ldmbench.plan.build import build_plan
from ldmbench.plan.expand import points
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite


def suite(path, denoiser, f="4"):
    file = path / "suite.yaml"
    file.write_text(f"""suite: networks
data:
  shapes: {{kind: shapes, resolution: 32, train: 64, reference: 64}}
models:
  ldm:
    autoencoder: {{f: {f}}}
    denoiser: {denoiser}
    budget: {{steps: 5}}
sample: {{steps: 5, count: 8}}
metrics: [fid]
""")
    return load_suite(file)


def problems(path, denoiser, f="4"):
    with pytest.raises(SuiteError) as caught:
        check_suite(suite(path, denoiser, f))
    return "\n".join(caught.value.problems)


def test_a_network_is_an_axis_and_the_fields_of_the_other_mean_nothing(tmp_path):
    loaded = suite(
        tmp_path,
        "{network: [unet, dit], conditioning: class, channels: 16, patch: [1, 2], width: 64}",
    )
    check_suite(loaded)
    found = {point.model: point.spec.denoiser for point in points(loaded.written)}
    assert list(found) == [
        "ldm[network=unet]",
        "ldm[network=dit,patch=1]",
        "ldm[network=dit,patch=2]",
    ]
    unet, dit, _ = found.values()
    assert (unet.channels, unet.width) == (16, 384)
    assert (dit.channels, dit.width) == (64, 64)
    dumped = unet.model_dump(mode="json")
    assert "network" not in dumped
    keys = {stage.key for stage in build_plan(loaded).stages if stage.kind == "denoiser"}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("denoiser", "f", "text"),
    [
        (
            "{network: dit, conditioning: class, channels: 32}",
            "4",
            "denoiser.channels: is a field of network unet, but network is dit; allowed: patch",
        ),
        ("{patch: 2}", "4", "denoiser.patch: is a field of network dit, but network is unet"),
        (
            "{network: dit}",
            "4",
            "conditioning: found caption, which network dit is not trained with; allowed: none,"
            " class",
        ),
        (
            "{network: dit, conditioning: none, patch: 4}",
            "[4, 16]",
            "patch: found 4, which does not divide a latent of 2 x 2; allowed: 1, 2",
        ),
        (
            "{network: dit, conditioning: none, heads: 5}",
            "4",
            "heads: found 5, which does not divide the width 384",
        ),
        (
            "{multipliers: [1, 2, 2, 2]}",
            "[4, 8]",
            "multipliers: found 4 levels, which a latent of 4 x 4 cannot be halved into;"
            " allowed: 3 or fewer",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_trains(denoiser, f, text, tmp_path):
    assert text in problems(tmp_path, denoiser, f)

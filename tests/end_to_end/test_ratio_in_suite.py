"""FDr in a suite: two spaces that ship, normalisers of the data's own validation images."""

import pytest
from tiny import SUITE, write_suite

from ldmbench.cli import outcome
from ldmbench.errors import SuiteError
from ldmbench.records.runs import Runs
from ldmbench.suite.check import check_suite
from ldmbench.suite.load import load_suite

PROTOCOL = "protocol: {base: shapes-v1, fdr_extractors: [shapes-net, shapes-clip]}\n"


@pytest.mark.slow
def test_a_suite_scores_it_with_interval_and_signature(tmp_path):
    suite = write_suite(tmp_path, SUITE + PROTOCOL)
    sets = ["--set", "metrics=[fid, fdr]", "--set", "mlflow={enabled: false}"]
    assert outcome(["run", str(suite), "--store", str(tmp_path / "s"), *sets]) == 0
    runs = Runs(tmp_path / "s")
    for record in runs.records(runs.find().id):
        score = next(s for s in record.scores if s.name == "fdr")
        assert score.value > 0
        assert score.low < score.value < score.high
        fields = dict(part.partition(":")[::2] for part in score.signature.split("|"))
        assert fields["feat"].startswith("shapes-net@")
        assert "+shapes-clip@" in fields["feat"]
        assert fields["norm"] == "validation"
        assert fields["val"].startswith("shapes")
        assert fields["v"] == fields["n"]


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("{base: shapes-v1, fdr_extractors: [shapes-nett]}", "did you mean 'shapes-net'"),
        ("{base: shapes-v1, fdr_extractors: [shapes-net, shapes-net]}", "found shapes-net twice"),
        ("{base: shapes-v1, fdr_normalisers: printed}", "none is printed for shapes-net"),
        ("fdr6-2604.28190", "printed for ImageNet at 256 px, and data."),
        ("{base: shapes-v1, reference_split: validation}", "they are the reference of"),
    ],
)
def test_mistakes_are_found_before_anything_runs(tmp_path, protocol, message):
    suite = write_suite(tmp_path, SUITE + f"protocol: {protocol}\n")
    with pytest.raises(SuiteError) as caught:
        check_suite(load_suite(suite, ["metrics=[fdr]"]))
    assert message in str(caught.value)

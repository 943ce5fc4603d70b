from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ldmbench.cli import door
from ldmbench.errors import InputError


def test_published_lists_rows_and_counts_them():
    done = CliRunner().invoke(door, ["published", "--dataset", "celebahq", "--metric", "fid"])
    assert done.exit_code == 0
    assert "5.11  unconditional  CelebA-HQ 256  LDM-4  DDIM 500  arXiv:2112.10752v2" in done.stdout
    assert "10 rows" in done.stderr


def test_published_as_json_has_the_columns_of_the_files_and_numbers():
    asked = ["published", "--dataset", "imagenet", "--metric", "FID", "--json"]
    rows = json.loads(CliRunner().invoke(door, asked).stdout)
    assert all(isinstance(row["value"], float) for row in rows)
    (guided,) = [
        r for r in rows
        if r["table"] == "Table 10" and r["model"] == "LDM-4-G" and r["guidance_scale"] == "1.5"
    ]  # fmt: skip
    assert guided["value"] == 3.60
    assert guided["source"] == "arXiv:2112.10752v2"
    assert any(row["suspect"] for row in rows)


def test_published_refuses_what_no_row_has():
    with pytest.raises(InputError, match="no published row has the metric 'fidd'"):
        CliRunner().invoke(door, ["published", "--metric", "fidd"], catch_exceptions=False)

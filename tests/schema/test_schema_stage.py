"""Stages and cells: roles have parts, and one text each."""

import pytest

from ldmbench.schema.stage import Role


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("samples", Role("samples")),
        ("shapes-v1:moments", Role("moments", "shapes-v1")),
        ("shapes-v1[extractor=mine:grid]:own0", Role("own0", "shapes-v1[extractor=mine:grid]")),
    ],
)
def test_a_role_is_read_as_it_is_written(text, role):
    assert Role.parse(text) == role
    assert str(role) == text

"""Signatures: one parser, one writer, and what differs between two."""

import dataclasses

import pytest

from ldmbench.schema.signature import Signature

TEXT = "fid|v1|feat:shapes-net@ab|ref:x@1:2|n:5"


@pytest.mark.parametrize("text", [TEXT, "fid", "fid|v1", "own.code|v2|code:|odd", ""])
def test_what_is_parsed_is_written_again(text):
    signature = Signature.parse(text)
    assert Signature.parse(str(signature)) == signature
    assert str(signature) == text.replace("code:|", "code|")


def test_fields_are_had_by_name_and_a_colon_may_stand_in_a_value():
    assert Signature.parse(TEXT).fields == {
        "metric": "fid", "version": "v1", "feat": "shapes-net@ab", "ref": "x@1:2", "n": "5",
    }  # fmt: skip
    assert Signature.parse("fid").fields == {"metric": "fid"}


def test_differences_name_every_field_on_both_sides():
    one, other = Signature.parse(TEXT), Signature.parse("fid|v2|feat:shapes-net@ab|n:5|k:3")
    assert one.differences(one) == {}
    assert one.differences(other) == {
        "version": ("v1", "v2"), "ref": ("x@1:2", "none"), "k": ("none", "3"),
    }  # fmt: skip


def test_fields_are_replaced_or_left_out_and_nothing_else_moves():
    signature = Signature.parse(TEXT)
    assert str(signature.replaced("n", "6")) == TEXT.replace("n:5", "n:6")
    assert signature.replaced("absent", "6") == signature
    assert str(signature.without(["ref", "absent"])) == "fid|v1|feat:shapes-net@ab|n:5"
    with pytest.raises(dataclasses.FrozenInstanceError):
        signature.metric = "kid"

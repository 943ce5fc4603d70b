"""Damaged and hostile files: one sentence each, no header believed, nothing executed."""

import io
import json
import os
import random
import struct
import sys
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from ldmbench.errors import InputError
from ldmbench.tensors.entries import open_weights
from ldmbench.tensors.read import fetch

WEIGHTS = {f"block.{i}.weight": torch.ones(4, 3) * i for i in range(4)}
HUGE = 1 << 40


def read(path):
    return fetch(path, open_weights(path).slots)


def refused(path):
    """Read a file; tell whether it was refused, in one sentence."""
    said = None
    try:
        read(path)
    except InputError as error:
        said = str(error)
    assert said is None or ("\n" not in said and len(said) < 600)
    return said


def archive(pickled, **entries):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("m/data.pkl", pickled)
        for name, content in {"version": b"3", **entries}.items():
            file.writestr(f"m/{name}", content)
    return made.getvalue()


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the bytes of sound files, by suffix and format."""
    folder = tmp_path_factory.mktemp("sound")
    content = {"state_dict": WEIGHTS, "epoch": 3}
    torch.save(content, folder / "new.pt", pickle_protocol=4)
    torch.save(content, folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(WEIGHTS, folder / "m.safetensors")
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("name", ["new.pt", "old.pt", "m.safetensors"])
def test_damage_at_random_is_refused_or_read(name, sound, tmp_path):
    dice, whole, path = random.Random(0), sound[name], tmp_path / name
    for _ in range(60):
        at, other = sorted(dice.sample(range(len(whole)), 2))
        path.write_bytes(whole[:at])
        assert refused(path)
        path.write_bytes(whole[:at] + whole[other:])
        assert refused(path)
        for change in (bytes([whole[at] ^ 1 << dice.randrange(8)]), struct.pack("<q", HUGE)):
            path.write_bytes(whole[:at] + change + whole[at + len(change) :])
            refused(path)


def test_a_flipped_bit_of_a_tensor_is_seen_where_the_file_has_checksums(sound, tmp_path):
    at = sound["new.pt"].index(struct.pack("<3f", 3, 3, 3))
    changed = bytearray(sound["new.pt"])
    changed[at] ^= 1
    (tmp_path / "new.pt").write_bytes(changed)
    assert "another checksum" in str(refused(tmp_path / "new.pt"))
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(WEIGHTS, tmp_path / "without.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read(tmp_path / "without.pt").keys() == WEIGHTS.keys()


@pytest.mark.parametrize("change", ["deflate", "swap", "twice", "lost"])
def test_entries_of_an_archive_that_are_not_torchs(change, sound, tmp_path):
    with zipfile.ZipFile(io.BytesIO(sound["new.pt"])) as file:
        entries = [(name, file.read(name)) for name in file.namelist()]
    data = [i for i, (name, _) in enumerate(entries) if "/data/" in name]
    (first, content), (second, _) = entries[data[0]], entries[data[1]]
    if change == "swap":
        entries[data[0]], entries[data[1]] = (first, content[:8]), (second, content)
    elif change == "twice":
        entries.append((first, content))
    elif change == "lost":
        del entries[data[0]]
    packed = zipfile.ZIP_DEFLATED if change == "deflate" else zipfile.ZIP_STORED
    with (
        zipfile.ZipFile(tmp_path / "m.pt", "w", packed) as file,
        pytest.warns() if (change == "twice") else io.StringIO(),
    ):
        for name, held in entries:
            file.writestr(name, held)
    assert refused(tmp_path / "m.pt")


PICKLES = {
    "memo": b"\x80\x02}r\xff\xff\xff\xff.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<q", HUGE) + b".",
    "bytearray": b"\x80\x05\x96" + struct.pack("<q", HUGE) + b".",
    "frame": b"\x80\x04\x95" + struct.pack("<q", HUGE) + b"}.",
    "extension": b"\x80\x02\x82\x01.",
    "deep key": b"\x80\x02)" + b"\x85" * 20000 + b"q\x00}h\x00K\x01s.",
    "deep dicts": b"\x80\x02" + b"}U\x01a" * 20000 + b"N" + b"s" * 20000 + b".",
    "itself": b"\x80\x02}q\x00U\x05modelh\x00s.",
    "no end": b"c" + b"a" * 100000,
    "buffer": b"\x80\x05\x97.",
    "attribute": b"cbuiltins\ngetattr\n(cos\nsystem\nS'x'\ntR.",
    "foreign call": b"csome.library\nfunction\n(S'x'\ntR.",
    "build": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}U\x03_dos}b.",
    "newobj": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)\x81.",
    "expanded": b"\x80\x02}U\x01a" + b"ctorch._utils\n_rebuild_tensor_v2\n("
    b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQ"
    b"K\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x85K\x00\x85\x89}tRs.",
}  # fmt: skip


@pytest.mark.parametrize("name", PICKLES)
def test_odd_pickles_are_refused(name, tmp_path):
    (tmp_path / "plain.pt").write_bytes(PICKLES[name])
    (tmp_path / "archived.pt").write_bytes(archive(PICKLES[name], **{"data/0": b"1234"}))
    assert refused(tmp_path / "plain.pt")
    assert refused(tmp_path / "archived.pt")


def test_shared_dicts_are_looked_at_once(tmp_path):
    """60 levels of dicts, each 50 times the next: a walk without memory would never end."""
    keys = [b"U\x02" + f"{k:02}".encode() for k in range(50)]
    levels = b"".join(
        b"}q" + bytes([i + 1]) + b"(" + b"".join(k + b"h" + bytes([i]) for k in keys) + b"u"
        for i in range(60)
    )
    (tmp_path / "m.pt").write_bytes(archive(b"\x80\x02}q\x00" + levels + b"."))
    assert refused(tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "a" * 1000])
def test_names_that_no_terminal_should_see_are_refused(name, tmp_path):
    torch.save({name: torch.ones(2)}, tmp_path / "m.pt")
    assert "cannot be printed" in str(refused(tmp_path / "m.pt"))
    spoken = b"\x80\x04X" + struct.pack("<I", len(name)) + name.encode() + b"X\x01\0\0\0x\x93."
    (tmp_path / "m.pt").write_bytes(archive(spoken))
    assert str(refused(tmp_path / "m.pt")).isprintable()


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}},
        {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"a": {"dtype": [], "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}},
        {"a": 1},
        [1],
        {"__metadata__": 5},
        "[" * 50000,
    ],
    ids=range(8),
)
def test_headers_of_safetensors_are_not_believed(header, tmp_path):
    text = header if isinstance(header, str) else json.dumps(header)
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(text)) + text.encode() + b"1234")
    assert refused(tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", 10**12) + text.encode())
    assert "its header says 1,000,000,000,000 bytes" in str(refused(tmp_path / "m.safetensors"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!doctype html>", "web page"),
        (b"", "not a checkpoint that torch.save wrote"),
    ],
)
def test_what_is_no_checkpoint_is_named(content, said, tmp_path):
    (tmp_path / "m.ckpt").write_bytes(content)
    assert said in str(refused(tmp_path / "m.ckpt"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
def test_nothing_waits_on_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", tmp_path, tmp_path / "none.pt"):
        assert "file" in str(refused(path))
    (tmp_path / "zero.pt").symlink_to("/dev/zero")
    assert "no regular file" in str(refused(tmp_path / "zero.pt"))

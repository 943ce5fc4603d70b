"""TFRecord files of progressive GAN: framing, sums, messages; broken ones refused."""

import struct

import numpy as np
import pytest

from ldmbench.data.images import read_images
from ldmbench.errors import InputError
from ldmbench.sources.kinds import open_source
from ldmbench.sources.kinds.crc32c import crc32c, masked

HOW = {"resolution": 8, "crop": "none", "resize": "pil-bicubic"}


def bitwise(data):
    """Return the CRC-32C by its definition."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def varint(value):
    made = b""
    while value > 0x7F:
        made, value = made + bytes([value & 0x7F | 0x80]), value >> 7
    return made + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def example(image, packed=True):
    """Return a tf.train.Example of an image (C, H, W), its features in the order of the writer."""
    numbers = [varint(n) for n in image.shape]
    shape = field(1, b"".join(numbers)) if packed else b"".join(varint(8) + n for n in numbers)
    rows = {b"shape": field(3, shape), b"data": field(1, field(1, image.tobytes()))}
    return field(1, b"".join(field(1, field(1, k) + field(2, v)) for k, v in rows.items()))


def record(message):
    head = struct.pack("<Q", len(message))
    sums = [struct.pack("<I", masked(bitwise(part))) for part in (head, message)]
    return head + sums[0] + message + sums[1]


def images(count=5, channels=3, side=8):
    return np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8)


def written(file, made, **more):
    file.write_bytes(b"".join(record(example(image, **more)) for image in made))
    return file


def read(path):
    source = open_source("tfrecords", path, {})
    listing = source.listing()
    return listing, read_images(source, listing.files, **HOW).images


@pytest.mark.parametrize("length", [0, 1, 3, 9, 300, 16_383, 16_384, 16_389, 40_000])
def test_sums_are_those_of_the_definition(length):
    data = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    assert crc32c(data) == bitwise(data)


@pytest.mark.parametrize("packed", [True, False])
def test_records_are_images(packed, tmp_path):
    made = images()
    listing, found = read(written(tmp_path / "celebahq-r03.tfrecords", made, packed=packed))
    assert [f.name for f in listing.files] == [f"celebahq-r03.tfrecords/{i:09d}" for i in range(5)]
    np.testing.assert_array_equal(found, made.transpose(0, 2, 3, 1))
    open_source("tfrecords", tmp_path, {}).check(None, resolution=8, crop="none", upscale=False)


def test_large_and_grey_records_are_images(tmp_path):
    made = images(2, 1, 160)  # more bytes than are summed one by one
    source = open_source("tfrecords", written(tmp_path / "grey.tfrecords", made), {})
    how = {**HOW, "resolution": 160}
    found = read_images(source, source.listing().files, **how).images
    np.testing.assert_array_equal(found, np.repeat(made, 3, 1).transpose(0, 2, 3, 1))


def test_classes_lie_beside(tmp_path):
    written(tmp_path / "cifar10-r03.tfrecords", images(4))
    with (tmp_path / "cifar10-rxx.labels").open("wb") as file:
        np.save(file, np.eye(10, dtype=np.float32)[[3, 0, 9, 3]])
    assert [f.label for f in read(tmp_path)[0].files] == [3, 0, 9, 3]
    with (tmp_path / "cifar10-rxx.labels").open("wb") as file:
        np.save(file, np.ones((3, 2), np.float32))
    with pytest.raises(InputError, match=r"float32 \(3, 2\) for 4 images"):
        read(tmp_path)


def spoilt(at):
    """Return what changes one byte of a file."""
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-9], "cut off in record 4"),
        (lambda data: data + b"1234", "cut off in record 5"),
        (lambda data: b"", "no record in it"),
        (spoilt(0), "record 0 at byte 0 has a length whose sum is wrong"),
        (spoilt(60), "at byte 12: the record is damaged"),
        (lambda data: record(b"\x0a\x7f"), "not a tf.train.Example of an image"),
        (lambda data: record(example(np.zeros((4, 2, 2), np.uint8))), "shape is [4, 2, 2]"),
    ],
)
def test_broken_files_are_refused(change, said, tmp_path):
    file = written(tmp_path / "a.tfrecords", images())
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(InputError) as error:
        read(file)
    assert said in str(error.value)


def test_one_size_is_read(tmp_path):
    for level in ("02", "03"):
        written(tmp_path / f"celebahq-r{level}.tfrecords", images())
    with pytest.raises(InputError, match=r"the same images at several sizes; name one: path: "):
        read(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match=r"no \.tfrecords or \.tfrecord file in it"):
        read(tmp_path / "other")

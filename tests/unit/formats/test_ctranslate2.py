"""The reader of CTranslate2's model.bin: what is written comes back, and nothing else is read."""

import struct

import numpy as np
import pytest
from tests import model_bin as written

from merkit.core.errors import MerkitError
from merkit.formats.ctranslate2 import read_ctranslate2

VARIABLES = {
    "a/float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a/half": np.array([[[0.5]], [[-2.0]]], np.float16),
    "a/int8": np.array([-3, 4], np.int8),
    "a/int16": np.int16(-300),
    "a/int32": np.int32(70_000),
    "b": np.int8(1),
}
ALIASES = {"c": "b", "d": "a/half"}
FIRST = 4 + len(written.string("WhisperSpec")) + 8
"""Where the first variable begins."""


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "model.bin"
        path.write_bytes(content)
        return read_ctranslate2([path])

    return read


def refused(read, content, words):
    with pytest.raises(MerkitError, match=words) as caught:
        read(content)
    assert "\n" not in str(caught.value)
    assert "model.bin" in str(caught.value)


def test_what_is_written_is_read(read):
    model = read(written.model(VARIABLES, ALIASES))

    assert (model.specification, model.revision, model.aliases) == ("WhisperSpec", 3, ALIASES)
    assert list(model.variables) == list(VARIABLES)
    for name, values in VARIABLES.items():
        assert model.variables[name].dtype == values.dtype
        np.testing.assert_array_equal(model.variables[name], values)


def test_pieces_are_joined_in_their_order_wherever_they_were_cut(tmp_path):
    content = written.model(VARIABLES, ALIASES)
    paths = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    for path, piece in zip(paths, (content[:7], content[7:60], content[60:]), strict=True):
        path.write_bytes(piece)

    model = read_ctranslate2(paths)

    np.testing.assert_array_equal(model.variables["a/float"], VARIABLES["a/float"])
    with pytest.raises(MerkitError, match=r"one .*three .*two: no CTranslate2 model"):
        read_ctranslate2([paths[0], paths[2], paths[1]])


def test_a_file_cut_at_any_byte_is_refused(read):
    content = written.model(VARIABLES, ALIASES)

    for end in range(len(content)):
        refused(read, content[:end], "no CTranslate2 model of version 6: ")


def test_bytes_after_the_end_are_refused(read):
    refused(read, written.model(VARIABLES, ALIASES) + b"\0", "1 bytes follow its end")


@pytest.mark.parametrize("version", [0, 5, 7, 6 << 24, 2**32 - 1])
def test_another_version_is_refused(read, version):
    refused(read, struct.pack("<I", version) + written.model(VARIABLES)[4:], f"its version is {version}")


@pytest.mark.parametrize(
    "content", [b"PK\3\4" + bytes(60), b"\x80\2}q\0." * 9, b"\x89HDF\r\n\x1a\n" * 9, b"<!DOCTYPE html>" * 9, bytes(99)]
)
def test_files_of_other_kinds_are_refused(read, content):
    refused(read, content, "no CTranslate2 model of version 6: its version is")


def test_a_folder_or_a_missing_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(MerkitError, match="cannot be read"):
            read_ctranslate2([path])


@pytest.mark.parametrize("count", [1000, 2**31, 2**32 - 1])
@pytest.mark.parametrize("what", ["variables", "aliases"])
def test_a_count_that_the_file_cannot_hold_is_refused_at_once(read, count, what):
    content = bytearray(written.model(VARIABLES, ALIASES))
    place = FIRST - 4 if what == "variables" else len(written.model(VARIABLES)) - 4
    content[place : place + 4] = struct.pack("<I", count)

    refused(read, bytes(content), f"bytes cannot hold {count:,} {what}")


@pytest.mark.parametrize("more", [-1, 1])
def test_a_count_that_is_wrong_by_one_is_refused(read, more):
    for place in (FIRST - 4, len(written.model(VARIABLES)) - 4):
        content = bytearray(written.model(VARIABLES, ALIASES))
        (count,) = struct.unpack_from("<I", content, place)
        struct.pack_into("<I", content, place, count + more)

        refused(read, bytes(content), "no CTranslate2 model of version 6: ")


def one(shape, kind, size, data=b"\0" * 8):
    body = written.string("x") + struct.pack(f"<B{len(shape)}IBI", len(shape), *shape, kind, size) + data
    return struct.pack("<I", 6) + written.string("WhisperSpec") + struct.pack("<II", 3, 1) + body + struct.pack("<I", 0)


def test_the_writer_of_one_variable_writes_one_that_is_read(read):
    assert read(one((2,), 0, 8)).variables["x"].shape == (2,)


@pytest.mark.parametrize(
    ("shape", "kind", "size", "words"),
    [
        ((2,), 5, 8, "has type 5, expected 0 to 4"),
        ((2,), 255, 8, "has type 255"),
        ((3,), 0, 8, r"has 8 bytes and shape \(3,\), which needs 12"),
        ((2,), 1, 8, "which needs 2"),
        ((2**32 - 1,) * 8, 0, 8, "has 8 bytes and shape"),
        ((0,), 0, 0, "no empty axis"),
        ((2**32 - 1, 0), 0, 0, "no empty axis"),
        ((1,) * 9, 0, 4, "has 9 axes, expected 8 at most"),
        ((2**30,), 0, 2**32 - 1, "which needs"),
        ((2**30 - 1,), 0, 2**32 - 4, "it ends within variable 0, 'x'"),
    ],
)
def test_a_variable_whose_size_shape_and_type_differ_is_refused(read, shape, kind, size, words):
    refused(read, one(shape, kind, size), words)


@pytest.mark.parametrize("name", [b"", b"\0", b"x", b"a\0b\0", b"\xff\xfe\0"])
def test_a_name_that_is_none_is_refused(read, name):
    content = written.model({"xy": np.int8(1)})
    broken = content.replace(written.string("xy"), struct.pack("<H", len(name)) + name)
    assert broken != content

    refused(read, broken, "no CTranslate2 model of version 6: ")


def test_names_that_occur_twice_or_stand_for_nothing_are_refused(read):
    twice = written.model({"x": np.int8(1), "y": np.int8(1)}).replace(written.string("y"), written.string("x"))
    refused(read, twice, "the variable 'x' occurs twice")
    refused(read, written.model({"x": np.int8(1)}, {"y": "z"}), "the alias 'y' of 'z'")
    refused(read, written.model({"x": np.int8(1)}, {"x": "x"}), "the alias 'x' of 'x'")


def test_a_file_of_any_changed_byte_is_read_or_refused_in_one_line(read):
    content = written.model(VARIABLES, ALIASES)
    refusals = []

    for place in range(len(content)):
        for value in (0, 255):
            changed = bytearray(content)
            changed[place] = value
            try:
                read(bytes(changed))
            except MerkitError as error:
                refusals.append(str(error))

    assert len(refusals) > len(content) / 2
    assert not any("\n" in line for line in refusals)

import io
import os
import struct
import warnings
import zipfile

import numpy as np
import pytest

from merkit.core.errors import MerkitError, UnsafeFileError
from merkit.formats.npz import read_npz

NPY_CUT = b"\x93NUMPY\x01\x00\x04\x00{}  "  # an array whose header says nothing


def test_an_npz_of_plain_arrays_is_read(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.arange(3), words=np.array(["x", "yy"]))

    found = read_npz(tmp_path / "f.npz")

    assert found["a"].tolist() == [0, 1, 2]
    assert found["words"].tolist() == ["x", "yy"]


def test_an_npz_with_objects_is_refused(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.array([{}, []], dtype=object))

    with pytest.raises(UnsafeFileError, match=r"f\.npz: holds pickled objects"):
        read_npz(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", MerkitError),
        (b"\x80\x04N.", UnsafeFileError),
        (b"PK\x03\x04 nonsense", MerkitError),
        (NPY_CUT, MerkitError),
    ],
)
def test_a_file_that_is_no_npz_is_an_error(tmp_path, content, error):
    (tmp_path / "f.npz").write_bytes(content)

    with pytest.raises(error, match=r"f\.npz"):
        read_npz(tmp_path / "f.npz")


def test_a_missing_npz_and_a_single_array_are_errors(tmp_path):
    np.save(tmp_path / "f.npy", np.zeros(2))

    with pytest.raises(MerkitError, match="cannot be read: No such file"):
        read_npz(tmp_path / "f.npz")
    with pytest.raises(MerkitError, match="expected an npz"):
        read_npz(tmp_path / "f.npy")


@pytest.mark.parametrize("packed", [np.savez, np.savez_compressed])
def test_arrays_keep_their_type_their_order_and_can_be_changed(tmp_path, packed):
    packed(tmp_path / "f.npz", a=np.asfortranarray(np.arange(6.0).reshape(2, 3)), b=np.empty((0, 4)), c=np.array(">x"))

    found = read_npz(tmp_path / "f.npz")

    found["a"] += 1
    assert found["a"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found["b"].shape == (0, 4)
    assert found["c"].dtype == "<U2"


def npy(shape="(6,)", kind="'<f8'", content=bytes(48), version=1):
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + content
    )


def npz(*arrays, names=("a.npy", "b.npy"), method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a name that occurs twice
        for name, array in zip(names, arrays, strict=False):
            archive.writestr(name, array)
    return file.getvalue()


def patched(content, offset, value):
    """Change a field of the only member's central entry and, where it has it, of its local one."""
    central = content.index(b"PK\x01\x02") + offset
    return content[:central] + struct.pack("<H", value) + content[central + 2 :]


BOMBS = {
    "80 TB": npz(npy("(10000000000000,)")),
    "a product that overflows": npz(npy("(4294967296, 4294967296, 2)")),
    "10,000 million rows of nothing": npz(npy("(10000000000, 0)", content=b"")),
    "elements of no bytes": npz(npy("(10000000000,)", "'|S0'", content=b"")),
    "fewer than it has": npz(npy("(3,)")),
    "negative": npz(npy("(-2, -3)")),
    "objects": npz(npy(kind="'|O'")),
    "objects inside": npz(npy(kind="[('a', '|O')]")),
    "a long header": npz(npy("(" + "1, " * 20_000 + ")")),
    "a deep header": npz(npy("(" * 3000 + ")" * 3000)),
    "a deep sign": npz(npy("-" * 9000 + "1")),
    "a header that is not there": npz(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
    "a strange format": npz(npy(version=3)),
    "code in a header": npz(npy("__import__('os').getpid()")),
    "a member that is no array": npz(npy(), names=("a.txt",)),
    "a folder": npz(b"", names=("a/",)),
    "one name twice": npz(npy(), npy(), names=("a.npy", "a.npy")),
    "encrypted": patched(npz(npy()), 8, 1),
    "an unknown method": patched(npz(npy()), 10, 99),
    "a method that packs without a bound": npz(npy(), method=zipfile.ZIP_LZMA),
    "a bomb": npz(npy("(100000000,)", "'|b1'", bytes(100_000_000)), method=zipfile.ZIP_DEFLATED),
    "another checksum": patched(npz(npy()), 16, 7),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_no_more_is_reserved_than_the_file_holds(tmp_path, content):
    (tmp_path / "f.npz").write_bytes(content)

    with pytest.raises(
        MerkitError, match=r"f\.npz: (cannot be read as npz: .*Get the file again|holds pickled)"
    ) as told:
        read_npz(tmp_path / "f.npz")

    assert len(str(told.value)) < 400


def test_a_pipe_is_no_npz(tmp_path):
    os.mkfifo(tmp_path / "f.npz")

    with pytest.raises(MerkitError, match="a folder, pipe or device"):
        read_npz(tmp_path / "f.npz")


def test_the_hostile_npz_files_of_the_cases_are_refused(cases):
    files = sorted((cases / "hostile" / "npz").glob("*.npz"))
    assert files

    for path in files:
        with pytest.raises(MerkitError, match="cannot be read as npz"):
            read_npz(path)

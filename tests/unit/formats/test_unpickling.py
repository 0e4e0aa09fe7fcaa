import collections
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from merkit.core.errors import MerkitError, UnsafeFileError
from merkit.formats.unpickling import read_pickle_safely

FEATURES = {
    "ids": ["a_1", "a_2"],
    "speakers": ("M", "F"),
    "vectors": {"a_1": np.arange(6, dtype=np.float32).reshape(2, 3), "a_2": np.asfortranarray(np.ones((2, 2)))},
    "labels": [np.int64(3), 2, True, None, 1.5, 2 + 1j],
    "trains": {"x", "y"},
    "frozen": frozenset({1, 2}),
    "bytes": b"\x00\xff",
    "array of bytes": bytearray(b"ab"),
    "mask": np.array([True, False]),
    "words": np.array(["one", "three"]),
    "raw": np.array([b"one", b"three"]),
    "big endian": np.arange(3, dtype=">f8"),
    "scalar": np.float32(0.5),
    "empty": np.empty((0, 4)),
    "zero axes": np.array(7.0),
}


class Touch:
    """Touches a file when its pickle is read without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def dumped(path, thing, protocol=pickle.DEFAULT_PROTOCOL):
    path.write_bytes(pickle.dumps(thing, protocol=protocol))
    return path


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same(found[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray) and expected.dtype != object:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, np.ndarray):
        assert found.shape == expected.shape
        assert_same(found.ravel().tolist(), expected.ravel().tolist())
    else:
        assert found == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_numbers_and_arrays_come_back_from_every_pickle_protocol(tmp_path, protocol):
    found = read_pickle_safely(dumped(tmp_path / "f.pkl", FEATURES, protocol))

    assert_same(found, FEATURES)


def test_arrays_may_be_changed_afterwards(tmp_path):
    found = read_pickle_safely(dumped(tmp_path / "f.pkl", np.zeros(3)))

    found += 1

    assert found.tolist() == [1, 1, 1]


def test_old_numpy_module_names_are_known(tmp_path):
    content = pickle.dumps([np.arange(3.0), np.float64(2)], protocol=2).replace(b"numpy._core", b"numpy.core")
    (tmp_path / "f.pkl").write_bytes(content)

    first, second = read_pickle_safely(tmp_path / "f.pkl")

    assert first.tolist() == [0, 1, 2]
    assert second == 2


def test_a_python_2_pickle_reads_with_latin_1_strings(tmp_path):
    """Opcodes as Python 2's protocol 2 writes ``{'f\\xe9': numpy.array([1.0]), 'set': set([1])}``."""
    element = b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    value = struct.pack("<d", -1.5)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85" + element + b"\x89U\x08" + value + b"tb"
    )
    numbers = b"c__builtin__\nset\n]K\x01a\x85R"
    (tmp_path / "f.pkl").write_bytes(b"\x80\x02}(U\x02f\xe9" + array + b"U\x03set" + numbers + b"u.")

    found = read_pickle_safely(tmp_path / "f.pkl")

    assert_same(found, {"fé": np.array([-1.5]), "set": {1}})


def test_dictionaries_with_manners_come_out_as_plain_ones(tmp_path):
    counted = collections.defaultdict(list, {"a": [np.ones(1)]})
    ordered = collections.OrderedDict(b=counted)

    found = read_pickle_safely(dumped(tmp_path / "f.pkl", ordered))

    assert_same(found, {"b": {"a": [np.ones(1)]}})


def test_object_arrays_of_arrays_come_back(tmp_path):
    ragged = np.empty((2, 1), dtype=object)
    ragged[0, 0], ragged[1, 0] = np.ones((1, 2)), [np.zeros(3), "x"]

    found = read_pickle_safely(dumped(tmp_path / "f.pkl", {"ragged": ragged, "again": ragged}))

    assert_same(found["ragged"], ragged)
    assert found["again"] is found["ragged"]


def object_array(thing):
    array = np.empty(1, dtype=object)
    array[0] = thing
    return array


@pytest.mark.parametrize(
    "hidden",
    [
        lambda thing: thing,
        lambda thing: {"a": [(1, thing)]},
        lambda thing: {thing: 1},
        object_array,
        lambda thing: [object_array({"x": object_array(thing)})],
    ],
    ids=["bare", "nested", "key", "object array", "object array in object array"],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_with_code_is_refused_by_name_and_its_code_is_not_run(tmp_path, hidden, protocol):
    touched = tmp_path / "touched"
    path = dumped(tmp_path / "f.pkl", hidden(Touch(touched)), protocol)

    with pytest.raises(UnsafeFileError, match=r"f\.pkl: asks for '(pathlib|builtins|__builtin__)\.") as caught:
        read_pickle_safely(path)

    assert not touched.exists()
    assert "nothing of it was run" in str(caught.value)
    pickle.Unpickler(io.BytesIO(path.read_bytes())).load()
    assert touched.exists(), "the test's pickle must be a harmful one"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
        (b"cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"\x80\x04\x8c\x08builtins\x8c\x0blist.append\x93.", "builtins.list.append"),
        (b"cnumpy\nload\n.", "numpy.load"),
        (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n.", "torch._utils._rebuild_tensor_v2"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"ccopyreg\n_reconstructor\n.", "copyreg._reconstructor"),
    ],
)
def test_names_beyond_the_known_ones_are_refused(tmp_path, content, name):
    (tmp_path / "f.pkl").write_bytes(content)

    with pytest.raises(UnsafeFileError, match=f"asks for '{name}'"):
        read_pickle_safely(tmp_path / "f.pkl")


def array_of(element, content):
    """A pickle of an array with one element of the given type, made of the given bytes."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I1\nt" + element + b"I00\nS'" + content + b"'\ntb."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (array_of(b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR", b"12345678"), "element type 'V8'"),
        (array_of(b"cnumpy\ndtype\n(S'M8[s]'\nI0\nI1\ntR", b"12345678"), "element type 'M8"),
        (
            array_of(
                b"cnumpy\ndtype\n(S'i8'\nI0\nI1\ntR(I3\nS'<'\nN(S'a'\nt(dS'a'\n(cnumpy\ndtype\n(S'O8'\ntRI0\ntsI8\nI1\nI0\ntb",
                b"12345678",
            ),
            "structured elements",
        ),
        (array_of(b"cnumpy\ndtype\n(S'O8'\nI0\nI1\ntR", b"12345678"), "objects made of bytes"),
        (b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O8'\ntRS'12345678'\ntR.", "an object where a number"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.", "a subclass of array"),
        (b"c_codecs\nencode\n(S'aa'\nS'hex'\ntR.", "the codec 'hex'"),
        (b"cnumpy\ndtype\n.", "bare 'numpy.dtype'"),
        (b"c_codecs\nencode\n(N(S'__defaults__'\nS'hex'\ndtb.", "to change '_codecs.encode'"),
    ],
)
def test_forged_element_types_never_turn_bytes_into_pointers(tmp_path, content, message):
    (tmp_path / "f.pkl").write_bytes(content)

    with pytest.raises(UnsafeFileError, match=message):
        read_pickle_safely(tmp_path / "f.pkl")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x02]q\x00(K", b"PK\x03\x04 zipped", b"\x80\x05Papersid."])
def test_a_file_that_is_no_pickle_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "f.pkl").write_bytes(content)

    with pytest.raises(MerkitError, match=r"f\.pkl: no pickle of arrays, or truncated"):
        read_pickle_safely(tmp_path / "f.pkl")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(MerkitError, match=r"f\.pkl: cannot be read: No such file"):
        read_pickle_safely(tmp_path / "f.pkl")


def integer(number):
    return b"\x8a\x08" + struct.pack("<q", number)


def doubled(step, times, end):
    """A pickle that puts a thing into a container twice, and that container into another one, and so on."""
    return (
        b"\x80\x04"
        + step(b"K\x01", b"K\x01")
        + b"".join(b"q%c0" % n + step(b"h%c" % n, b"h%c" % n) for n in range(times))
        + end
    )


def in_tuple(*things):
    return b"".join(things) + b"\x86"


def in_list(*things):
    return b"](" + b"".join(things) + b"e"


def named(name, argument):
    return b"cbuiltins\n" + name + b"\n" + argument + b"\x85R."


def array_with(shape):
    state = b"(K\x01" + shape + b"cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R\x89C\x00tb"
    return b"\x80\x04cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R" + state + b"."


# once read with Python's own machine, which reserves what it is told to, and hashes and frees without a bound
BOMBS = {
    "6 GB of zeros": named(b"bytearray", integer(6_000_000_000)),
    "a list of 6 GB": b"cbuiltins\nlist\n" + named(b"bytes", integer(6_000_000_000))[:-1] + b"\x85R.",
    "a dictionary of a number": named(b"dict", integer(1)),
    "a string of a number": named(b"str", integer(10**9)),
    "8 GB of memo": b"]r\xff\xff\xff\x7f0]r\xff\xff\xff\x7e0j\xff\xff\xff\x6f.",
    "memo in text": b"]p99999999999\n0g99999999998\n.",
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 6_000_000_000) + b"x.",
    "a string that is not there": b"X\xff\xff\xff\x7fx.",
    "a negative length": b"T\xff\xff\xff\xffx.",
    "a frame that is not there": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N",
    "an integer that is not there": b"\x8b\xff\xff\xff\x7f\x01.",
    "a key that hashes for ever": b"}" + doubled(in_tuple, 100, b"K\x01s."),
    "a member that hashes for ever": b"\x8f(" + doubled(in_tuple, 100, b"\x90."),
    "frozen members that hash for ever": b"(" + doubled(in_tuple, 100, b"\x91."),
    "a set of what hashes for ever": b"cbuiltins\nset\n(" + doubled(in_tuple, 100, b"l\x85R."),
    "a deep key": b"}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
    "keys made to collide": b"}("
    + b"".join(b"\x8a\x10" + (k * (2**61 - 1)).to_bytes(16, "little") + b"N" for k in range(1, 50_000))
    + b"u.",
    "long keys": b"}X\x00\x00\x10\x00" + b"x" * 0x100000 + b"Ns.",
    "lists that nobody can walk through": doubled(in_list, 100, b"."),
    "tuples that nobody can walk through": doubled(in_tuple, 100, b"."),
    "a list in itself": b"]q\x00h\x00a.",
    "200,000 lists in each other": b"]" * 200_000 + b"a" * 199_999 + b".",
    "200,000 tuples in each other": b")" + b"\x85" * 200_000 + b".",
    "many empty sets": b"(" + b"\x8f" * 400_000 + b"l.",
    "copies of the same bytes": b"B\x00\x00\x10\x00"
    + b"x" * 0x100000
    + b"q\x00"
    + b"("
    + (b"cbuiltins\nbytearray\nh\x00\x85R" * 2_000)
    + b"l.",
    "copies of the same list": b"](" + b"K\x01" * 100_000 + b"eq\x00(" + b"cbuiltins\nset\nh\x00\x85R" * 2_000 + b"l.",
    "10,000 million rows": array_with(b"\x8a\x05\x00\xe4\x0b\x54\x02K\x00\x86"),
    "rows of negative length": array_with(b"J\xff\xff\xff\xff\x85"),
    "an integer of 100,000 digits": b"I" + b"9" * 100_000 + b"\n.",
    "an integer of 1 MB": b"\x8b\x00\x00\x10\x00" + b"\x01" * 0x100000 + b".",
    "many memos": b"N" + b"\x94" * 800_000 + b".",
    "a name that prints for ever": doubled(in_tuple, 100, b"N\x93."),
    "an element type that prints for ever": b"cnumpy\ndtype\n" + doubled(in_tuple, 100, b"\x85R."),
    "text where a number should be": b"F" + b"x" * 10_000 + b"\n.",
    "two pickles": b"N.N.",
    "a value left over": b"NN.",
    "a mark where a value should be": b"(a.",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_time_and_memory_are_bounded_by_the_size_of_the_file(tmp_path, content):
    (tmp_path / "f.pkl").write_bytes(content)

    with pytest.raises(MerkitError, match=r"f\.pkl: ") as caught:
        read_pickle_safely(tmp_path / "f.pkl")

    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_a_list_of_numbers_may_be_mentioned_many_times(tmp_path):
    shared = [0.0] * 1000

    found = read_pickle_safely(dumped(tmp_path / "f.pkl", {f"a_{number}": shared for number in range(1000)}))

    assert found["a_0"] == shared
    assert found["a_999"] is found["a_0"]


@pytest.mark.parametrize("key", ["a_1", 7, -(2**40), 1.5, None, True, ("Ses01", 4), np.str_("a"), np.int64(3), b"a"])
def test_keys_are_strings_numbers_and_short_tuples(tmp_path, key):
    assert read_pickle_safely(dumped(tmp_path / "f.pkl", {key: 1})) == {key: 1}


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "f.pkl")

    with pytest.raises(MerkitError, match=r"f\.pkl: cannot be read: a folder, pipe or device"):
        read_pickle_safely(tmp_path / "f.pkl")


def test_the_hostile_pickles_of_the_cases_are_refused(cases):
    files = sorted((cases / "hostile" / "pickles").glob("*.pkl"))
    assert files

    for path in files:
        with pytest.raises(UnsafeFileError, match="nothing of it was run"):
            read_pickle_safely(path)

import io
import struct
import zipfile

import numpy as np
import pytest

from synergynet_tf.safe_io import list_npz, read_npz

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
    "c": np.array(True),
    "d": np.zeros((0, 3), ">i2"),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(save, tmp_path):
    save(tmp_path / "x.npz", **ARRAYS)
    assert list_npz(tmp_path / "x.npz") == list(ARRAYS)
    found = read_npz(tmp_path / "x.npz", [*ARRAYS, "e"])
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def write(path, header, content=b"", packing=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", packing) as archive:
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
        archive.writestr("a.npy", start + header.encode() + content)


def header(shape, descr="'<f4'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n"


@pytest.mark.parametrize(
    ("text", "content", "reason"),
    [
        (header("(100000, 100000)"), b"", "too large"),
        (header("(-2, -2)"), bytes(16), "too large"),
        (header("(2, 2)"), bytes(12), "damaged: not the 16 bytes"),
        (header("(2, 2)"), bytes(2**20), "damaged: not the 16 bytes"),
        (header("(2, 2)", "'|O'"), bytes(16), "must hold numbers. Received: object"),
        (header("(2, 2)", "[('a', '|O')]"), bytes(16), "must hold numbers"),
        (header("(2, 2)", "'<c8'"), bytes(32), "must hold numbers"),
        (header("("), bytes(16), "array 'a': "),
    ],
)
def test_a_header_is_not_trusted(text, content, reason, tmp_path):
    write(tmp_path / "x.npz", text, content)
    with pytest.raises(ValueError, match=reason):
        read_npz(tmp_path / "x.npz", ["a"])


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, **ARRAYS)
    data = path.read_bytes()
    place = data.index(ARRAYS["a"].tobytes()) + 3
    path.write_bytes(data[:place] + b"\x99" + data[place + 1 :])
    with pytest.raises(ValueError, match=r"array 'a': Bad CRC-32"):
        read_npz(path, ["a"])
    for damaged in (b"", data[:-30], b"PK" + bytes(100)):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"no \.npz file"):
            read_npz(path, ["a"])


def test_nothing_is_unpickled(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", stream.getvalue())
    with pytest.raises(ValueError, match=r"must hold numbers\. Received: object"):
        read_npz(tmp_path / "x.npz", ["a"])

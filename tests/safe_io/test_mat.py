import io

import numpy as np
import pytest
import scipy.io

from synergynet_tf.safe_io import read_mat5


def mat(packed=False, **variables):
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, do_compression=packed)
    return stream.getvalue()


def read(tmp_path, content, max_bytes=10_000):
    (tmp_path / "a.mat").write_bytes(content)
    return read_mat5(tmp_path / "a.mat", "x", max_bytes)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "i2", "i4", "u8", "?"])
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (2, 3, 4), (0, 3), (1, 1)])
def test_arrays_are_what_scipy_wrote(tmp_path, shape, dtype, packed):
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = read(tmp_path, mat(packed, text="abc", longer_name=[1.0], x=x))
    assert np.array_equal(found, x) and found.shape == x.shape


def test_the_other_byte_order(tmp_path):
    body = b"".join(
        np.array(words, ">u4").tobytes()
        for words in ([6, 8, 6, 0], [5, 8, 1, 2], [(1 << 16) + 1])
    )
    body += b"x\0\0\0" + np.array([9, 16], ">u4").tobytes()
    body += np.array([1.5, 5], ">f8").tobytes()
    content = b" " * 126 + b"MI" + np.array([14, len(body)], ">u4").tobytes() + body
    assert read(tmp_path, content).tolist() == [[1.5, 5.0]]


def test_a_type_that_scipy_crashes_on_is_refused(tmp_path):
    content = mat(x=np.arange(10.0)[None])
    start = content.index(np.array([9, 80], "<u4").tobytes())
    for kind in (0x5000, 11, 14, 15, 0):
        broken = (
            content[:start] + bytes([kind % 256, kind // 256]) + content[start + 2 :]
        )
        with pytest.raises(ValueError, match="no array of real numbers"):
            read(tmp_path, broken)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "level 5"),
        (mat(y=[1.0]), "no variable x"),
        (mat(x="text"), "no array of real numbers"),
        (mat(x={"a": 1}), "no array of real numbers"),
        (mat(x=[1j]), "no array of real numbers"),
        (mat(x=np.zeros(9))[:-20], "truncated"),
        (mat(packed=True, x=np.zeros(999))[:-5], "truncated"),
        (mat(packed=True, x=np.zeros(9999)), "more than 10,000 bytes"),
        (mat(x=np.zeros(9999)), "more than 10,000 bytes"),
        (mat(x=[1.0])[:130], "damaged"),
        (
            mat(x=np.zeros((3, 5))).replace(b"\3\0\0\0\5", b"\4\0\0\0\5"),
            "for the shape",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content)

import zlib

import h5py
import numpy as np
import pytest

from synergynet_tf.safe_io import read_datasets, require_plain_hdf5

ARRAY = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True}])
def test_datasets_are_read(options, path):
    with h5py.File(path, "w") as file:
        file.create_dataset("group/x", data=ARRAY, **options)
        file["y"] = 7
    x, y = read_datasets(path, ["group/x", "y"])
    np.testing.assert_array_equal(x, ARRAY)
    assert y == 7
    require_plain_hdf5(path, x.nbytes + 8)
    with pytest.raises(ValueError, match="too large"):
        require_plain_hdf5(path, x.nbytes - 1)


def elsewhere(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "/x")


def raw_elsewhere(file):
    file.create_dataset("x", (9,), "u1", external=[("/etc/passwd", 0, 9)])


def virtual(file):
    layout = h5py.VirtualLayout((9,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (9,))
    file.create_virtual_dataset("x", layout)


def soft_link(file):
    file["y"] = ARRAY
    file["x"] = h5py.SoftLink("/y")


def never_written(file):
    file.create_dataset("x", (2**20, 2**18), "f4", chunks=(64, 64))


def huge_chunk(file):
    sides, most = (2**14, 2**14), (None, None)
    file.create_dataset("x", (9, 4), "u1", chunks=sides, maxshape=most)[0, 0] = 1


def bomb(file):
    made = file.create_dataset("x", (256, 256), "u1", chunks=True, compression="gzip")
    packed = zlib.compress(bytes(10 * 2**20))
    made.id.write_direct_chunk((0, 0), packed)


def other_filter(file):
    file.create_dataset("x", data=ARRAY, compression="lzf")


def texts(file):
    file.create_dataset("x", data=["a"], dtype=h5py.string_dtype())


def nothing(file):
    file["x"] = h5py.Empty("f4")


def group(file):
    file.create_group("x/y")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (elsewhere, "not in the file itself"),
        (raw_elsewhere, "not in the file itself"),
        (virtual, "not in the file itself"),
        (soft_link, "not in the file itself"),
        (never_written, "too large"),
        (bomb, "a chunk of over"),
        (huge_chunk, "too large"),
        (other_filter, "filter 32000"),
        (texts, "must hold numbers"),
        (nothing, "no array"),
        (group, "no array"),
    ],
)
def test_what_is_no_array_of_the_file_is_refused(write, reason, path):
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(ValueError, match=reason):
        read_datasets(path, ["x"])
    if write is not group:
        with pytest.raises(ValueError, match=reason):
            require_plain_hdf5(path, 2**30)


def test_a_group_within_itself_ends(path):
    with h5py.File(path, "w") as file:
        file["x/y"] = file.create_group("x")
    with pytest.raises(ValueError, match="within itself"):
        require_plain_hdf5(path, 2**30)


def test_damaged_and_missing(path):
    path.write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="signature"):
        read_datasets(path, ["x"])
    with h5py.File(path, "w"):
        pass
    with pytest.raises(ValueError, match="it has no x"):
        read_datasets(path, ["x"])

"""Images that would show the network next to nothing are said, or made visible."""

import cv2
import numpy as np
import pytest

from synergynet_tf.config import DataConfig
from synergynet_tf.data import prepared
from synergynet_tf.data.check import check
from synergynet_tf.data.images import read_image
from synergynet_tf.data.preprocess import Preprocessor, find_faint, to_network
from synergynet_tf.evaluation.inputs import find_inputs
from tests.data.trees import photograph, write_folder, write_nifti, write_png


def sparse(background=0.0, share=0.0015):
    """Returns a volume of one value but for a few voxels, from 500 to 998."""
    values = np.full(4 * 50 * 50, background, np.float32)
    count = round(share * values.size)
    values[:: values.size // count][:count] = np.linspace(500, 998, count)
    return values.reshape(4, 50, 50, 1)


@pytest.mark.parametrize("background", [0.0, -1024.0, 5000.0])
def test_a_window_that_closes_is_taken_from_the_other_voxels(background):
    image = sparse(background)
    network = to_network(image, "mri", 50)[..., 0]
    here = (image != background)[..., 0]
    shown, around = network[here], network[~here]
    assert np.ptp(around) == 0 and np.ptp(shown) > 0.05
    if background < 500:
        assert around.max() == 0 and shown.max() == 1 and shown.min() > 0
    else:
        assert around.min() == 1 and shown.min() == 0 and shown.max() < 1


def test_a_window_that_closes_by_hand():
    # Of 900 pixels one is 4 and one is 8: their percentiles are 4.02 and 7.98.
    image = np.zeros((1, 30, 30, 1), np.float32)
    image[0, 3, 3], image[0, 9, 9] = 4, 8
    network = to_network(image, "mri", 30)[0, ..., 0]
    assert network[3, 3] == pytest.approx(4 / 7.98) and network[9, 9] == 1
    assert np.count_nonzero(network) == 2


def test_a_window_that_is_open_is_as_it_was():
    image = sparse(share=0.02)
    low, high = np.percentile(image, (0.5, 99.5))
    expected = (image.clip(low, high) - low).astype(np.float32)
    expected /= np.float32(high - low)
    assert low == 0 < high
    assert np.array_equal(to_network(image, "mri", 50)[..., :1], expected)


def test_a_constant_image_is_zeros_as_ever():
    assert not to_network(np.full((1, 4, 4, 1), 9, np.float32), "mri", 4).any()


@pytest.mark.parametrize(
    ("values", "modality", "words"),
    [
        ((7, 7), "mri", "7 everywhere"),
        ((7, 7), "rgb", "7 everywhere"),
        ((0, 15), "rgb", "0 to 15, show the network next to nothing"),
        ((240, 255), "rgb", "240 to 255, show"),
        ((300, 4000), "ct", "300 to 4000, show the network next to nothing"),
        ((0, 1), "ct", "0 to 1, show"),
        ((0, 16), "rgb", ""),  # Of 255, a sixteenth is 15.9.
        ((240, 4000), "ct", ""),  # 240 to 275 of 400 Hounsfield units.
        ((0, 1), "mri", ""),
    ],
)
def test_what_is_faint(values, modality, words):
    image = np.resize(np.array(values, np.float32), (1, 8, 8, 1))
    found = find_faint(image, modality)
    assert (words in found) if words else found == ""


@pytest.mark.parametrize(("top", "bits"), [(4095, 12), (1023, 10), (4096, 0)])
def test_12_bits_in_16(top, bits, tmp_path):
    pixels = np.linspace(0, top, 64).astype(np.uint16).reshape(8, 8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    found = find_faint(read_image(tmp_path / "a.png"), "rgb")
    if bits:
        assert f"{top} of 65535: {bits} bits in a 16-bit file" in found
    else:
        assert found == ""


def test_16_bits_of_few_values_are_no_12(tmp_path):
    pixels = np.linspace(5000, 8000, 64).astype(np.uint16).reshape(8, 8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    found = find_faint(read_image(tmp_path / "a.png"), "rgb")
    assert "show the network next to nothing" in found and "bits" not in found


def test_a_channel_of_a_scan_is_named():
    rng = np.random.default_rng(0)
    image = rng.random((2, 8, 8, 4), np.float32)
    image[..., 2] = 0
    assert find_faint(image[..., :3], "mri") == "channel 2: its image is 0 everywhere"
    assert find_faint(image, "mri", "3 2").startswith("channel 2: ")
    assert find_faint(image, "mri", "3 0") == ""
    colors = np.zeros((1, 8, 8, 3), np.float32)
    colors[0, :4, :, 1] = 200  # Green alone is a picture.
    assert find_faint(colors, "rgb") == ""


@pytest.fixture
def data(tmp_path):
    root = write_folder(tmp_path / "data")
    for number in (2, 5):
        pixels = photograph(12, 16, number).astype(np.uint16) * 16
        cv2.imwrite(str(root / "images" / f"case{number:02d}.png"), pixels)
    return DataConfig("folder", str(root))


def test_the_check_notes_them(data):
    findings = check(data, workers=0)
    assert findings.problems == [] and len(findings.notes) == 2
    for number, note in zip((2, 5), findings.notes, strict=True):
        assert f"case{number:02d}" in note and "12 bits in a 16-bit file" in note


def test_training_says_it_in_a_line_also_of_a_store_that_is_there(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SYNERGYNET_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        found = prepared.prepare(data, 32)
        lines = capsys.readouterr().err.splitlines()
        used = {*found.split["train"], *found.split["val"]}
        dark = {"case02", "case05"} & used
        assert dark
        (line,) = [line for line in lines if "next to nothing" in line]
        assert line.startswith(f"note: {len(dark)} of {len(used)} cases")


def test_a_file_to_label_is_noted_in_a_line(tmp_path, capsys):
    images = tmp_path / "in"
    write_png(images / "good.png", photograph(8, 8))
    cv2.imwrite(str(images / "dark.png"), photograph(8, 8)[..., 0].astype("uint16"))
    find_inputs(images, tmp_path / "out", Preprocessor("rgb", 16))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {images / 'dark.png'}: its highest value is ")
    write_nifti(tmp_path / "a.nii.gz", sparse()[..., 0])
    find_inputs(tmp_path / "a.nii.gz", tmp_path / "out", Preprocessor("mri", 16))
    (line,) = capsys.readouterr().err.splitlines()
    assert "over 99 % of its voxels are 0" in line

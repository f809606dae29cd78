import keras
import numpy as np
import pytest

from synergynet_tf.models import BACKBONES, ENCODERS
from synergynet_tf.models.encoders import encode


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_halves_the_image_five_times(name):
    image = keras.Input((64, 64, 3))
    features = encode(image, name, "none")
    assert list(features) == ["P1", "P2", "P3", "P4", "P5"]
    sizes = [feature.shape[1:3] for feature in features.values()]
    assert sizes == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]


def test_the_names_that_need_no_keras_are_those_of_the_table():
    assert set(BACKBONES) == set(ENCODERS)


def test_unreachable_imagenet_names_both_ways_out(monkeypatch):
    def refuse(*args, **kwargs):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", refuse)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", refuse)
    with pytest.raises(
        OSError, match=r"--encoder-weights PATH.*--encoder-weights none"
    ):
        encode(keras.Input((64, 64, 3)), "resnet50", "imagenet")


def test_wrong_weights_file_is_named(tmp_path):
    path = tmp_path / "other.weights.h5"
    path.write_bytes(b"not hdf5")
    with pytest.raises(ValueError, match=r"other\.weights\.h5.*ResNet50"):
        encode(keras.Input((64, 64, 3)), "resnet50", str(path))


def test_weights_of_a_file_arrive(tmp_path):
    path = tmp_path / "resnet50_notop.weights.h5"
    source = keras.applications.ResNet50(include_top=False, weights=None)
    source.save_weights(path)
    image = keras.Input((64, 64, 3))
    model = keras.Model(image, encode(image, "resnet50", str(path)))
    for name in ("conv1_conv", "conv5_block3_3_conv"):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(model.get_layer(name).kernel),
            keras.ops.convert_to_numpy(source.get_layer(name).kernel),
        )

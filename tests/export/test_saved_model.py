import re

import cv2
import keras
import numpy as np
import pytest

from export import saved_model
from synergynet_tf.config import ModelConfig
from synergynet_tf.data import preprocess
from synergynet_tf.evaluation.predict import predict_case
from synergynet_tf.models import build_model

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

SIZE = 32


def small_model(classes):
    """A model with weights that training moves and weights that it does not."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(keras.layers.ReLU()(x))
    return keras.Model(image, keras.layers.Conv2D(classes, 1)(x))


def visible_files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("modality", ["rgb", "mri"])
@pytest.mark.parametrize("shape", [(50, 41, 3), (20, 77, 3), (32, 32, 1)])
def test_bytes_are_labeled_as_predict_labels_them(tmp_path, classes, modality, shape):
    model = small_model(classes)
    saved_model.save(model, modality, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["from_bytes"]
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    file = tmp_path / "image.png"
    cv2.imwrite(str(file), pixels)

    found = served(image_bytes=tf.constant([file.read_bytes()]))

    image = preprocess.to_network(preprocess.read_image(file), modality, SIZE)
    logits = preprocess.to_native(model.predict_on_batch(image), *shape[:2])
    assert found["probabilities"].shape == (1, *shape[:2], classes)
    np.testing.assert_array_equal(found["labels"], preprocess.to_labels(logits))


def test_a_real_photograph_is_labeled_as_predict_labels_it(tmp_path, real_data):
    model = small_model(1)
    saved_model.save(model, "rgb", tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["from_bytes"]
    photographs = real_data / "isic2017" / "ISIC-2017_Training_Data"
    for file in sorted(photographs.glob("*.jpg"))[:3]:
        found = served(image_bytes=tf.constant([file.read_bytes()]))
        image = preprocess.read_image(file)
        expected = predict_case(model, image, "rgb", SIZE)
        np.testing.assert_array_equal(found["labels"], expected)


def test_logits_and_names(tmp_path):
    model = small_model(3)
    difference = saved_model.save(model, "rgb", tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    image = np.random.default_rng(1).random((2, SIZE, SIZE, 3), np.float32)
    logits = served(image=tf.constant(image))["logits"]
    # float32 through three layers.
    np.testing.assert_allclose(logits, model.predict_on_batch(image), atol=1e-5)
    assert 0 <= difference <= 1e-5


def test_two_images_in_one_request_are_refused(tmp_path):
    saved_model.save(small_model(1), "rgb", tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["from_bytes"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="one image a request"):
        served(image_bytes=tf.constant([b"", b""]))


def test_the_folder_holds_each_weight_once_and_only_what_is_read(tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    wide = keras.layers.Conv2D(400, 9, padding="same")(image)
    wide = keras.layers.Conv2D(400, 3, padding="same")(wide)  # 6 MB of weights
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(wide))
    saved_model.save(model, "rgb", tmp_path / "1")
    weights = sum(np.prod(w.shape) * 4 for w in model.weights)
    files = [path for path in (tmp_path / "1").rglob("*") if path.is_file()]
    graph = (tmp_path / "1" / "saved_model.pb").stat().st_size
    assert sum(path.stat().st_size for path in files) < 1.1 * weights + graph


def test_the_served_graph_writes_no_variable():
    from export import signatures

    config = ModelConfig(
        image_size=32, num_codes=8, hidden_dim=16, encoder_weights="none"
    )
    functions = signatures.build_signatures(build_model(config), "rgb")
    for function in functions.values():
        graph = function.graph.as_graph_def()
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        writes = {node.op for node in nodes if re.search("Assign|Scatter", node.op)}
        assert not writes


@pytest.mark.parametrize("wrong", [0.01, np.nan])
def test_a_model_that_comes_back_different_leaves_nothing(tmp_path, monkeypatch, wrong):
    model = small_model(1)
    right = model.call
    monkeypatch.setattr(
        # Only the comparison calls it outside a graph.
        model,
        "call",
        lambda *args, **kw: (
            right(*args, **kw) + (wrong if tf.executing_eagerly() else 0)
        ),
    )
    with pytest.raises(ValueError, match="nothing was written"):
        saved_model.save(model, "rgb", tmp_path / "1")
    assert visible_files(tmp_path) == []


def test_the_next_version_is_one_more_than_the_highest(tmp_path):
    assert saved_model.version_dir(tmp_path / "new" / "out").name == "1"
    for name in ("2", "10", "notes"):
        (tmp_path / name).mkdir()
    assert saved_model.version_dir(tmp_path) == tmp_path / "11"
    assert saved_model.version_dir(tmp_path, 7) == tmp_path / "7"


def test_versions_that_cannot_be_written_are_refused(tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="another --version"):
        saved_model.version_dir(tmp_path, 3)
    with pytest.raises(ValueError, match="at least 1"):
        saved_model.version_dir(tmp_path, 0)
    with pytest.raises(OSError, match=r"--out: .*name another"):
        saved_model.version_dir(tmp_path / "file")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    flags = ["--run", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(FileNotFoundError, match=r"No config\.json"):
        saved_model.main(flags)
    assert not (tmp_path / "out").exists()

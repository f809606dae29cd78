import functools
import re

import cv2
import keras
import numpy as np
import pytest

from synergynet_tf.cli import saved_model as command
from synergynet_tf.data import preprocess
from synergynet_tf.evaluation.predict import predict_case
from synergynet_tf.export import saved_model
from synergynet_tf.export.card import read_card
from synergynet_tf.models import build_model
from synergynet_tf.models.outputs import with_codes
from tests.export.models import SIZE, make_card, random_pixels, small_model

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from synergynet_tf.export import signatures  # noqa: E402  (it imports TensorFlow)
from synergynet_tf.export.preprocess_graph import to_labels  # noqa: E402


def visible_files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Exports the small model, each kind once: the folder, and the signatures."""

    @functools.cache
    def export(modality, classes):
        folder = tmp_path_factory.mktemp("export")
        card = make_card(folder / "run", modality, classes)
        saved_model.save(small_model(classes), card, folder / "1")
        return folder / "1", tf.saved_model.load(str(folder / "1")).signatures

    return export


def encode(suffix, *shape):
    return cv2.imencode(suffix, random_pixels(*shape))[1].tobytes()


def predict(model, path, modality):
    """Labels a file as predict.py does, with the logits at the image's own size."""
    image = preprocess.read_image(path)
    network = preprocess.to_network(image, modality, SIZE)
    logits = model.predict_on_batch(network)
    return preprocess.to_native(logits, *image.shape[1:3])[0]


@pytest.mark.parametrize(("modality", "classes"), [("rgb", 1), ("mri", 4)])
def test_bytes_are_labeled_as_predict_labels_them(tmp_path, exports, modality, classes):
    served = exports(modality, classes)[1]
    files = [
        encode(".png", 50, 41, 3),
        encode(".jpg", 20, 77, 3),
        encode(".png", 32, 32, 1),
    ]
    found = served["from_bytes"](image_bytes=tf.constant(files))
    small = served["png_from_bytes"](image_bytes=tf.constant(files))

    assert found["labels"].shape == (3, 50, 77)
    assert found["probabilities"].shape == (3, 50, 77, classes)
    assert found["sizes"].numpy().tolist() == [[50, 41], [20, 77], [32, 32]]
    model = small_model(classes)
    background = [0.0] if classes == 1 else [1.0, 0.0, 0.0, 0.0]
    for number, data in enumerate(files):
        (tmp_path / "image.png").write_bytes(data)
        logits = predict(model, tmp_path / "image.png", modality)
        labels = preprocess.to_labels(logits)
        rows, columns = labels.shape
        inside = slice(rows), slice(columns)
        np.testing.assert_array_equal(found["labels"][number][inside], labels)
        _, expected = to_labels(tf.constant(logits))
        probabilities = found["probabilities"][number].numpy()
        # float32 through three layers.
        np.testing.assert_allclose(probabilities[inside], expected, atol=1e-5)
        assert not found["labels"][number][rows:].numpy().any()
        assert not found["labels"][number][:, columns:].numpy().any()
        assert (probabilities[rows:] == background).all()
        assert (probabilities[:, columns:] == background).all()
        png = np.frombuffer(small["labels_png_bytes"][number].numpy(), np.uint8)
        decoded = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(decoded, labels)
        areas = [np.sum(labels == value) for value in range(1, max(2, classes))]
        for outputs in (found, small):
            assert outputs["areas"][number].numpy().tolist() == areas
            assert outputs["sizes"][number].numpy().tolist() == [rows, columns]


@pytest.mark.parametrize("classes", [1, 4])
def test_a_center_crop_is_served_as_predict_labels_it(tmp_path, classes):
    model = small_model(classes)
    names = [f"class {number}" for number in range(max(1, classes - 1))]
    preprocessor = preprocess.Preprocessor("mri", SIZE, center_crop=0.7)
    functions = signatures.build_signatures(model, names, preprocessor)
    data = encode(".png", 50, 41, 3)
    (tmp_path / "image.png").write_bytes(data)
    image = preprocess.read_image(tmp_path / "image.png")
    network = preprocess.to_network(image, "mri", SIZE, "", 0.7)
    logits = preprocess.to_native(model.predict_on_batch(network), 50, 41, 0.7)
    found = functions["from_bytes"](image_bytes=tf.constant([data]))
    labels = preprocess.to_labels(logits)
    assert labels.any()
    np.testing.assert_array_equal(found["labels"], labels)
    background = [0.0] if classes == 1 else [1.0, 0.0, 0.0, 0.0]
    # An ulp: some CPUs round the softmax of infinite differences below 1.
    outside = found["probabilities"].numpy()[0, 0]
    np.testing.assert_allclose(
        outside, np.broadcast_to(background, outside.shape), atol=1e-7
    )


def test_a_single_image_is_not_filled_up(exports):
    served = exports("rgb", 1)[1]["from_bytes"]
    found = served(image_bytes=tf.constant([encode(".png", 20, 77, 3)]))
    assert found["labels"].shape == (1, 20, 77)


def test_a_real_photograph_is_labeled_as_predict_labels_it(exports, real_data):
    preprocessor = preprocess.Preprocessor("rgb", SIZE)
    served = exports("rgb", 1)[1]["from_bytes"]
    photographs = real_data / "isic2017" / "ISIC-2017_Training_Data"
    files = sorted(photographs.glob("*.jpg"))[:3]
    found = served(image_bytes=tf.constant([file.read_bytes() for file in files]))
    for file, labels in zip(files, found["labels"].numpy(), strict=True):
        image = preprocess.read_image(file)
        expected = predict_case(small_model(1), image, preprocessor)[0]
        rows, columns = expected.shape
        np.testing.assert_array_equal(labels[:rows, :columns], expected)


def test_logits_and_names(exports):
    served = exports("mri", 4)[1]["serving_default"]
    image = np.random.default_rng(1).random((2, SIZE, SIZE, 3), np.float32)
    logits = served(image=tf.constant(image))["logits"]
    # float32 through three layers.
    expected = small_model(4).predict_on_batch(image)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_the_card_and_its_page_go_with_the_model(exports):
    folder, _ = exports("mri", 4)
    card = read_card(folder / "model_card.json")
    assert card.class_names == ("organ1", "organ2", "organ3")
    page = (folder / "README.md").read_text("utf-8")
    for text in (
        "0 background, 1 organ1, 2 organ2, 3 organ3",
        "float32 `(batch, 32, 32, 3)` in [0, 1]",
        "float32 `(batch, 32, 32, 4)`",
        "softmax, the largest wins",
        "percentile 0.5 of each channel becomes 0",
        "`png_from_bytes`",
        "phantom, official split",
        "3 epochs",
        "The run was not scored.",
        "not a medical device",
    ):
        assert text in page, text


@pytest.mark.parametrize(
    ("modality", "image_channels"), [("ct", 1), ("ct", 2), ("mri", 4), ("mri", 5)]
)
def test_without_files_there_is_no_signature_for_them(
    tmp_path, modality, image_channels
):
    card = make_card(tmp_path / "run", modality, 4, image_channels=image_channels)
    saved_model.save(small_model(4), card, tmp_path / "1")
    assert "no signature for image files" in (tmp_path / "1" / "README.md").read_text()
    loaded = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert set(loaded) == {"serving_default"}


def test_channels_are_picked_as_in_training(tmp_path):
    card = make_card(tmp_path / "run", "rgb", 1, channels="2 0")
    del card["input"]["center_crop"]  # As cards of before.
    saved_model.save(small_model(1), card, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["from_bytes"]
    file = tmp_path / "image.png"
    file.write_bytes(encode(".png", 40, 41, 3))
    found = served(image_bytes=tf.constant([file.read_bytes()]))["labels"]
    image = preprocess.read_image(file)
    preprocessor = preprocess.Preprocessor("rgb", SIZE, "2 0")
    expected = predict_case(small_model(1), image, preprocessor)
    np.testing.assert_array_equal(found, expected)
    gray = tf.constant([encode(".png", 40, 41, 1)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0\] has 1 ch.*2 0"):
        served(image_bytes=gray)


def test_channels_of_scans_must_be_as_many_as_in_training(tmp_path):
    card = make_card(tmp_path / "run", "mri", 4, image_channels=1)
    saved_model.save(small_model(4), card, tmp_path / "1")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["from_bytes"]
    served(image_bytes=tf.constant([encode(".png", 40, 41, 1)]))
    colored = tf.constant([encode(".png", 40, 41, 3)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0\] has 3 ch.*with 1"):
        served(image_bytes=colored)


def test_the_folder_holds_each_weight_once_and_only_what_is_read(tmp_path):
    image = keras.Input((SIZE, SIZE, 3))
    wide = keras.layers.Conv2D(400, 9, padding="same")(image)
    wide = keras.layers.Conv2D(400, 3, padding="same")(wide)  # 6 MB of weights
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(wide))
    saved_model.save(model, make_card(tmp_path / "run"), tmp_path / "1")
    weights = sum(np.prod(w.shape) * 4 for w in model.weights)
    files = [path for path in (tmp_path / "1").rglob("*") if path.is_file()]
    graph = (tmp_path / "1" / "saved_model.pb").stat().st_size
    assert sum(path.stat().st_size for path in files) < 1.1 * weights + graph


def test_the_served_graph_writes_no_variable(tiny):
    config = tiny.replace(num_classes=1)
    model, preprocessor = build_model(config.model), preprocess.Preprocessor.of(config)
    functions = signatures.build_signatures(model, ["organ"], preprocessor)
    for function in functions.values():
        graph = function.graph.as_graph_def()
        nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
        writes = {node.op for node in nodes if re.search("Assign|Scatter", node.op)}
        assert not writes


@pytest.mark.parametrize("wrong", [0.01, np.nan])
def test_a_model_that_comes_back_different_leaves_nothing(tmp_path, monkeypatch, wrong):
    model = small_model(1)

    def altered(model):
        named = with_codes(model)
        right = named.call

        def call(*args, **kw):
            outputs = right(*args, **kw)
            # Only the comparison calls it outside a graph.
            more = wrong if tf.executing_eagerly() else 0
            return {**outputs, "logits": outputs["logits"] + more}

        named.call = call
        return named

    monkeypatch.setattr("synergynet_tf.models.outputs.with_codes", altered)
    with pytest.raises(ValueError, match="nothing was written"):
        saved_model.save(model, make_card(tmp_path / "run"), tmp_path / "1")
    assert visible_files(tmp_path) == ["run"]


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
        command.main(flags)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["saved_model.save", "io.TFRecordWriter"])
def test_a_full_disk_names_the_folder_and_leaves_nothing(tmp_path, monkeypatch, where):
    module, name = where.split(".")
    reason = "No space left on device"

    def fail(_module, path="", **_):
        # As TensorFlow's C++ side says it, which knows no `OSError`.
        raise tf.errors.ResourceExhaustedError(
            None, None, f"{path}; {reason} [Op:SaveV2]"
        )

    monkeypatch.setattr(getattr(tf, module), name, fail)
    target = tmp_path / "out" / "1"
    card = make_card(tmp_path / "run", "rgb", 1)
    with pytest.raises(OSError, match=rf"^{target} cannot be written \({reason}\)$"):
        saved_model.save(small_model(1), card, target)
    assert visible_files(tmp_path / "out") == []


def test_what_the_graph_refuses_is_no_full_disk(tmp_path, monkeypatch):
    def fail(*_arguments, **_named):
        raise tf.errors.InvalidArgumentError(None, None, "a bug")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    card = make_card(tmp_path / "run", "rgb", 1)
    with pytest.raises(tf.errors.InvalidArgumentError):
        saved_model.save(small_model(1), card, tmp_path / "out" / "1")

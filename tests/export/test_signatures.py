import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from synergynet_tf.data.preprocess import Preprocessor  # noqa: E402
from synergynet_tf.export.signatures import build_signatures  # noqa: E402  (it imports TensorFlow)
from tests.export.models import SIZE, random_pixels, small_model  # noqa: E402

PREPROCESSOR = Preprocessor("rgb", SIZE)


def checks_before(operation):
    """Names the checks without which an operation does not begin."""
    seen, waiting = {}, [operation]
    while waiting:
        current = waiting.pop()
        if current.name not in seen:
            seen[current.name] = current.type
            waiting += [tensor.op for tensor in current.inputs]
            waiting += current.control_inputs
    return {name for name, kind in seen.items() if kind == "Assert"}


@pytest.mark.parametrize(
    ("name", "checks"), [("serving_default", 2), ("from_bytes", 1)]
)
def test_a_model_begins_after_the_checks_of_its_input(name, checks):
    """What runs beside a check may fail first, and be what the client reads."""
    function = build_signatures(small_model(1), ["square"], PREPROCESSOR)[name]
    operations = function.graph.get_operations()
    convolutions = [op for op in operations if op.type == "Conv2D"]
    assert convolutions
    for convolution in convolutions:
        assert len(checks_before(convolution)) == checks


@pytest.mark.parametrize("classes", [1, 3])
def test_probabilities_are_of_logits_divided_by_the_temperature(classes):
    model = small_model(classes)
    names = [f"organ{number}" for number in range(1, max(2, classes))]
    pixels = random_pixels(SIZE, SIZE, 3)
    functions = build_signatures(model, names, PREPROCESSOR, temperature=2.5)
    files = tf.constant([tf.io.encode_png(pixels).numpy()])
    found = functions["from_bytes"](files)
    logits = np.asarray(model(pixels[None] / np.float32(255))) / 2.5
    # With a logit of 0 for background, a sigmoid is a softmax.
    own = logits if classes > 1 else np.concatenate([0 * logits, logits], axis=-1)
    powers = np.exp(own)
    expected = powers / powers.sum(axis=-1, keepdims=True)
    expected = expected if classes > 1 else expected[..., 1:]
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
    labels = logits.argmax(axis=-1) if classes > 1 else logits[..., 0] > 0
    assert (found["labels"].numpy() == labels).all()

import keras
import pytest

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from synergynet_tf.export.signatures import build_signatures  # noqa: E402  (it imports TensorFlow)
from tests.export.models import small_model  # noqa: E402


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
    function = build_signatures(small_model(1), ["square"], "rgb")[name]
    operations = function.graph.get_operations()
    convolutions = [op for op in operations if op.type == "Conv2D"]
    assert convolutions
    for convolution in convolutions:
        assert len(checks_before(convolution)) == checks

import csv
import pathlib
import socket
import subprocess
import sys
import types

import cv2
import keras
import numpy as np
import pytest

from synergynet_tf.cli import serving_client
from synergynet_tf.data.preprocess import Preprocessor, read_image
from synergynet_tf.evaluation.inputs import find_inputs
from synergynet_tf.evaluation.predict import predict_case
from synergynet_tf.export import serving_client as serving
from synergynet_tf.export.serving_client import Answer, Refused
from tests.data.decoys import chunk
from tests.export.models import SIZE, random_pixels, small_model

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow exports"
)

from tests.export.serving.cpp_loader import InvalidRequest  # noqa: E402  (of TF)
from tests.export.serving.model_server import serve  # noqa: E402  (it imports TF)

ROOT = pathlib.Path(__file__).parents[3]
FILES = {"a.png": (50, 41, 3), "b.jpg": (20, 77, 1), "c.tif": (33, 35, 3)}


@pytest.fixture(scope="module")
def shared_server(cpp_model):
    with serve(cpp_model) as server:
        yield server


@pytest.fixture(params=["rest", "grpc"])
def url(shared_server, request):
    return getattr(shared_server, f"{request.param}_url")


@pytest.fixture
def server(shared_server, monkeypatch):
    """The server as it is at first, and a client that waits little."""
    monkeypatch.setattr(serving, "FIRST_WAIT_S", 0.01)
    shared_server.asked = shared_server.busy = 0
    yield shared_server
    shared_server.busy = 0
    shared_server.slow.set()


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shape in FILES.items():
        dtype = np.uint16 if name == "c.tif" else np.uint8
        cv2.imwrite(str(folder / name), random_pixels(*shape, dtype=dtype))
    return folder


@pytest.fixture
def call(images, exported, tmp_path):
    """Calls the command for the images, with whatever flags besides."""

    def call(url, *flags, source=images):
        output = tmp_path / "out"
        named = {"url": url, "input": source, "output": output}
        given = [word for k, v in named.items() for word in (f"--{k}", str(v))]
        serving_client.main([*given, *flags])
        return output

    return call


def test_files_are_labeled_as_predict_labels_them(url, images, call):
    output = call(url)
    with open(output / "summary.csv", newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(FILES)
    for name, shape in FILES.items():
        image = read_image(images / name)
        expected = predict_case(small_model(4), image, Preprocessor("rgb", SIZE))[0]
        path = output / f"{pathlib.Path(name).stem}.png"
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(labels, expected)
        assert (rows[name]["rows"], rows[name]["columns"]) == tuple(map(str, shape[:2]))
        assert rows[name]["organ2_pixels"] == str(np.sum(expected == 2))
    assert len(list(output.glob("*_overlay.png"))) == 3
    assert len(list(output.iterdir())) == 7


def test_nothing_is_said_of_values_that_a_model_may_scale(url, call, tmp_path, capsys):
    """12 bits in 16 are nearly black to a model of photographs, not to one of MRI."""
    scans = tmp_path / "scans"
    scans.mkdir()
    pixels = np.arange(400, dtype=np.uint16).reshape(20, 20)
    cv2.imwrite(str(scans / "a.png"), pixels)
    assert len(find_inputs(scans, tmp_path / "light", Preprocessor("rgb", SIZE))) == 1
    assert "note: " in capsys.readouterr().err
    call(url, source=scans)
    assert "note: " not in capsys.readouterr().err


@pytest.mark.parametrize("flags", [("--version", "1"), ("--version-label", "live")])
def test_a_version_is_asked_for(url, call, flags):
    assert (call(url, *flags) / "summary.csv").is_file()


def test_a_busy_server_is_asked_again(server, url, images, call):
    server.busy = 2
    call(url, source=images / "a.png")
    assert server.asked == 3


def test_a_server_that_stays_busy_is_named(server, url, images, call, tmp_path):
    server.busy = 99
    with pytest.raises(OSError, match=r"a\.png: .*synergynet.* queue is full \("):
        call(url, "--retries", "2")
    assert server.asked == 3
    assert not (tmp_path / "out").exists()


def test_a_late_answer_is_not_waited_for(server, url, call, tmp_path):
    server.slow.clear()
    with pytest.raises(OSError, match=r"does not answer: .*--timeout"):
        call(url, "--timeout", "0.2", "--retries", "0")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags",
    [("--model", "other"), ("--version", "7"), ("--version-label", "canary")],
)
def test_a_model_that_is_not_there_is_not_asked_for_again(server, url, call, flags):
    with pytest.raises(ValueError, match=r"not found .*; check --model and --version"):
        call(url, *flags)
    assert server.asked == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"text", r"image_bytes\[0\] is not a JPEG or PNG file \("),
        (b"", r"image_bytes\[0\] is empty \("),
        (b"\x89PNG\r\n\x1a\n", r"image_bytes\[0\] is truncated or damaged \("),
    ],
)
def test_what_the_server_refuses_is_not_asked_again(server, url, data, message):
    connection = serving.connect(url, "synergynet", None, "", 10)
    with pytest.raises(Refused, match=message):
        serving.retry(lambda: connection.predict(data), 3)
    assert server.asked == 1
    png = cv2.imencode(".png", random_pixels(9, 8, 3))[1].tobytes()
    assert connection.predict(png).labels.shape == (9, 8)


def test_damaged_files_are_not_sent(server, url, images, call, tmp_path):
    whole = (images / "a.png").read_bytes()
    size = b"\0\1\0\0\0\1\0\0"
    huge = whole[:8] + chunk(b"IHDR", size + whole[24:29]) + whole[33:]
    for data, message in (
        (whole[:-9], "truncated"),
        (b"", "empty"),
        (huge, "too large: 65536 x 65536"),
    ):
        (images / "d.png").write_bytes(data)
        with pytest.raises(ValueError, match=rf"d\.png .*{message}"):
            call(url)
    assert server.asked == 0 and not (tmp_path / "out").exists()


def test_nobody_at_the_address(call, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for url in (f"http://{address}", address):
        with pytest.raises(OSError, match=rf"{address}.*does not answer: .*refused"):
            call(url, "--retries", "0")

    def no_name(*_arguments, **_named):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_name)
    with pytest.raises(ValueError, match=r"cannot be reached \(Name .*check --url"):
        call("http://no.such.host:8501")


@pytest.mark.parametrize("url", ["http://[::1]:1/behind", "[::1]:1", "grpc://host:1"])
def test_addresses_are_kept(url):
    assert url.removeprefix("grpc://") in str(serving.connect(url, "m", 1, "", 1))


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_model_that_takes_no_files_is_told(cpp_model, call, protocol):
    infos = {"serving_default": cpp_model.signatures["serving_default"]}
    model = types.SimpleNamespace(signatures=infos, run=cpp_model.run)
    hint = r"\"png_from_bytes\" not found.*; .* no image files.* synergynet predict \("
    with serve(model) as server, pytest.raises(ValueError, match=hint):
        call(getattr(server, f"{protocol}_url"))
    assert server.asked == (protocol == "grpc")  # Over REST it is refused before.


def test_an_answer_of_another_model_is_refused_over_grpc(images, cpp_model, call):
    for wrong in ("areas", "labels_png_bytes", "sizes", "classes"):
        with serve(Changed(cpp_model, wrong)) as server, pytest.raises(ValueError) as e:
            call(server.grpc_url)
        assert "a.png" in str(e.value) and "the answer" in str(e.value)


class Changed:
    """A model one of whose outputs is of another type, or one value an image."""

    def __init__(self, model, name):
        self.model, self.signatures, self.name = model, model.signatures, name

    def run(self, signature, inputs):
        outputs = self.model.run(signature, inputs)
        other = {"labels_png_bytes": "sizes", "areas": "classes"}.get(self.name)
        values = outputs[other] if other else outputs[self.name]
        return outputs | {self.name: values[:, 0]}


def test_after_a_failure_the_command_can_be_given_again(server, url, call, tmp_path):
    answer = server.model

    class Failing:
        signatures = answer.signatures

        def run(self, signature, inputs):
            if server.asked > 1:
                raise InvalidRequest("no more")
            return answer.run(signature, inputs)

    server.model = Failing()
    try:
        with pytest.raises(ValueError, match=r"b\.jpg: .*no more"):
            call(url)
    finally:
        server.model = answer
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a.png", "a_overlay.png", "summary.csv"]
    assert "a.png" in (tmp_path / "out" / "summary.csv").read_text()
    assert len(list(call(url).iterdir())) == 7


def test_inputs_that_no_server_takes_are_refused(call, tmp_path):
    with pytest.raises(ValueError, match=r"is a volume, .*synergynet predict"):
        call("host:1", source=tmp_path / "scan.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="No image files"):
        call("host:1", source=tmp_path / "empty")


def test_one_class_is_written_as_255(images, tmp_path):
    class Half:
        def predict(self, image):
            labels = np.zeros((50, 41), np.uint8)
            labels[:25] = 1
            return Answer(labels, ["organ"])

    serving.label_with_server(Half(), [images / "a.png"], tmp_path / "out", 0)
    written = cv2.imread(str(tmp_path / "out" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert (written[:25] == 255).all() and not written[25:].any()


def test_what_is_sent_has_the_values_of_the_file(images, tmp_path):
    sent = []

    class Full:
        def predict(self, image):
            sent.append(image)
            raise Refused("enough")

    for name in FILES:
        with pytest.raises(ValueError, match=f"{name}: .*: enough"):
            serving.label_with_server(Full(), [images / name], tmp_path / "out", 3)
        (tmp_path / "sent").write_bytes(sent[-1])
        found, expected = read_image(tmp_path / "sent"), read_image(images / name)
        np.testing.assert_array_equal(found, expected)
    assert len(sent) == len(FILES)


def test_the_command_refuses_in_one_line(images, exported, tmp_path):
    flags = ["--url", "http://127.0.0.1:9", "--retries", "0", "--input", str(images)]
    flags += ["--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "export.serving.client", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    *_progress, line = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("error: ") and "a.png" in line

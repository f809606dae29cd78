"""The files that the server is started with, parsed as it parses them.

The wheel of tensorflow-serving-api has the protobufs of `models.config`. Those of
batching and monitoring are not in it, so their messages are declared here as
TensorFlow Serving declares them (session_bundle_config.proto and
monitoring_config.proto), as far as the files use them.
"""

import pathlib
import re
import shlex

import pytest
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

from export.serving import client

pytest.importorskip("tensorflow")
from tensorflow_serving.config import model_server_config_pb2

ROOT = pathlib.Path(__file__).parents[3]
SERVING = ROOT / "export" / "serving"
FIELD = descriptor_pb2.FieldDescriptorProto


def declare(messages):
    """Returns the first of `{message: {field: (number, type)}}` as a class."""
    file = descriptor_pb2.FileDescriptorProto(syntax="proto3")
    file.name = file.package = f"declared.{next(iter(messages))}"
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number)
            added.label = FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type, added.type_name = FIELD.TYPE_MESSAGE, kind
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    first = pool.FindMessageTypeByName(f"{file.package}.{next(iter(messages))}")
    return message_factory.GetMessageClass(first)


def parse(name, message):
    return text_format.Parse((SERVING / name).read_text("utf-8"), message())


def test_models():
    config = parse("models.config", model_server_config_pb2.ModelServerConfig)
    (model,) = config.model_config_list.config
    assert model.name == client.parse_args(NEEDED).model
    assert (model.base_path, model.model_platform) == (
        "/models/synergynet",
        "tensorflow",
    )
    assert model.model_version_policy.latest.num_versions == 2


def test_the_example_of_labels():
    text = (SERVING / "models.config").read_text("utf-8")
    example = re.findall(r"^ +# ((?:model_version|version_labels).*)", text, re.M)
    model = text_format.Parse("\n".join(example), model_server_config_pb2.ModelConfig())
    assert list(model.model_version_policy.specific.versions) == [1, 2]
    assert dict(model.version_labels) == {"stable": 1, "canary": 2}


def test_batching():
    whole = ".google.protobuf.Int64Value"
    message = declare(
        {
            "BatchingParameters": {
                "max_batch_size": (1, whole),
                "batch_timeout_micros": (2, whole),
                "max_enqueued_batches": (3, whole),
                "num_batch_threads": (4, whole),
            }
        }
    )
    found = parse("batching_parameters.txt", message)
    fields = {field.name: value.value for field, value in found.ListFields()}
    assert fields == {
        "max_batch_size": 8,
        "batch_timeout_micros": 5000,
        "max_enqueued_batches": 32,
        "num_batch_threads": 2,
    }


def test_monitoring():
    message = declare(
        {
            "MonitoringConfig": {
                "prometheus_config": (1, ".declared.MonitoringConfig.PrometheusConfig")
            },
            "PrometheusConfig": {
                "enable": (1, FIELD.TYPE_BOOL),
                "path": (2, FIELD.TYPE_STRING),
            },
        }
    )
    found = parse("monitoring.config", message).prometheus_config
    assert found.enable and found.path == "/monitoring/prometheus/metrics"


def test_the_container_gets_each_file_and_is_told_where():
    text = (SERVING / "compose.yaml").read_text("utf-8")
    mounted = dict(re.findall(r'"\./([\w.]+):(/config/[\w.]+):ro"', text))
    told = dict(re.findall(r'"--(\w+_file)=(/config/[\w.]+)"', text))
    assert told == {
        "model_config_file": mounted["models.config"],
        "batching_parameters_file": mounted["batching_parameters.txt"],
        "monitoring_config_file": mounted["monitoring.config"],
    }
    assert all((SERVING / name).is_file() for name in mounted)
    assert ":/models/synergynet:ro" in text
    ports = re.findall(r'"(\d+):(\d+)"', text)
    assert ports == [("8500", "8500"), ("8501", "8501")]


NEEDED = ["--url", "http://localhost:8501"]
NEEDED += ["--input", "photos", "--output", "predictions"]


def test_the_page_uses_files_and_flags_that_are_there():
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.M)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    asked = [c[2:] for c in commands if c[:2] == ["synergynet", "client"]]
    assert len(asked) >= 2
    for flags in asked:
        client.parse_args(flags)
    for name in re.findall(r"export/serving/[\w.]+", page):
        assert (ROOT / name.rstrip(".")).exists(), name

import sys
import types

import keras
import pytest

from synergynet_tf import environment, runs
from synergynet_tf.training import distribution, fit, precision
from synergynet_tf.training.distribution import Hardware

AMD = ("sse2", "avx512_bf16")


@pytest.mark.parametrize(
    ("hardware", "flags", "expected", "reason"),
    [
        (Hardware("cpu"), ("avx2", "avx512f"), "float32", "neither amx_bf16 nor"),
        (Hardware("cpu"), (), "float32", "neither"),
        (Hardware("cpu"), AMD, "bfloat16", "has avx512_bf16"),
        (Hardware("cpu"), (*AMD, "amx_bf16"), "bfloat16", "amx_bf16 and avx512_bf16"),
        (Hardware("tpu"), (), "bfloat16", "TPU"),
        # What the CPU can do is nothing to a GPU.
        (Hardware("gpu", (6, 1)), AMD, "float32", "6.1, below 7.0"),
        (Hardware("gpu", (7, 0)), AMD, "float16", "7.0, below 8.0"),
        (Hardware("gpu", (7, 5)), AMD, "float16", "7.5, below 8.0"),
        (Hardware("gpu", (8, 0)), (), "bfloat16", "8.0, at least 8.0"),
        (Hardware("gpu", (12, 0)), (), "bfloat16", "12.0, at least 8.0"),
        (Hardware("gpu"), AMD, "float32", "GPU tells no CUDA compute capability"),
    ],
)
def test_what_the_hardware_has_decides(hardware, flags, expected, reason):
    found, why = precision.choose(hardware, flags)
    assert found == expected and reason in why


@pytest.mark.parametrize(
    ("capabilities", "none", "mirrored"),
    [
        ((), Hardware("cpu"), Hardware("cpu")),
        ((None,), Hardware("gpu"), Hardware("gpu")),
        ([(9, 0), (7, 5)], Hardware("gpu", (9, 0)), Hardware("gpu", (7, 5))),
        ([(9, 0), None], Hardware("gpu", (9, 0)), Hardware("gpu")),
    ],
)
def test_hardware_of_tensorflow(monkeypatch, capabilities, none, mirrored):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the backend is another")

    def devices(kind):
        return list(range(len(capabilities))) if kind == "GPU" else []

    def details(index):
        value = capabilities[index]
        return {"compute_capability": value} if value else {}

    monkeypatch.setattr(tf.config, "list_physical_devices", devices)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    assert distribution.hardware("none") == none
    assert distribution.hardware("mirrored") == mirrored


@pytest.mark.parametrize(
    ("platform", "capability", "expected"),
    [
        ("cpu", None, Hardware("cpu")),
        ("tpu", None, Hardware("tpu")),
        ("gpu", "9.0", Hardware("gpu", (9, 0))),
        ("gpu", "gfx90a", Hardware("gpu")),
        ("gpu", None, Hardware("gpu")),
    ],
)
def test_hardware_of_jax(monkeypatch, platform, capability, expected):
    device = types.SimpleNamespace(platform=platform)
    if capability:
        device.compute_capability = capability
    jax = types.SimpleNamespace(local_devices=lambda: [device])
    monkeypatch.setitem(sys.modules, "jax", jax)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert distribution.hardware("none") == expected


def test_a_run_keeps_its_precision_on_other_hardware(
    tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(distribution, "hardware", lambda strategy: Hardware("cpu"))
    monkeypatch.setattr(environment, "cpu_flags", lambda: AMD)
    auto = tiny.replace(precision="auto", epochs=1)
    fit(auto, tmp_path)
    assert "precision bfloat16: this CPU has avx512_bf16\n" in capsys.readouterr().out
    begun = runs.Run(tmp_path).config
    assert begun == auto.replace(precision="bfloat16")

    monkeypatch.setattr(environment, "cpu_flags", lambda: ())
    assert precision.resolve(auto, tmp_path, force=False) == begun
    assert "precision bfloat16: the run was begun in it" in capsys.readouterr().out
    fresh = precision.resolve(auto, tmp_path, force=True)
    assert fresh.training.precision == "float32"
    given = auto.replace(precision="float16")
    assert precision.resolve(given, tmp_path, force=False) == given

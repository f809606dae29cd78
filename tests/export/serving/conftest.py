import pytest

from tests.export.models import make_card, small_model


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Clears the variables that would send requests to another machine first."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy"):
        for spelled in (name, name.upper()):
            monkeypatch.delenv(spelled, raising=False)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The folder of an exported model with three classes, version 1."""
    from synergynet_tf.export import saved_model

    folder = tmp_path_factory.mktemp("served")
    card = make_card(folder / "run", "rgb", 4)
    saved_model.save(small_model(4), card, folder / "synergynet" / "1")
    return folder / "synergynet" / "1"


@pytest.fixture(scope="session")
def cpp_model(exported):
    """The same, loaded by C++."""
    from tests.export.serving.cpp_loader import CppModel

    return CppModel(exported)

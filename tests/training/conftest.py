import pytest

from tests.conftest import make_tiny


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The run of `tiny` after its only epoch; a test that changes it takes a copy."""
    from synergynet_tf.training import fit

    run = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNERGYNET_CACHE", str(tmp_path_factory.getbasetemp()))
        fit(make_tiny(patch).replace(epochs=1), run)
    return run

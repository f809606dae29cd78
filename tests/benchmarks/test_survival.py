import pytest

from benchmarks import survival


def test_a_training_survives_its_kills(capsys):
    # A seed that draws one moment of each kind.
    survival.main(["--kills", "3", "--seed", "8"])
    *kills, end, result = capsys.readouterr().out.splitlines()
    assert {line.split()[2].strip(",") for line in kills} == set(survival.KINDS)
    assert all(line.endswith(": equal") for line in (*kills, end))
    assert result.startswith("3 of 3 kills left what an undisturbed run had, and the")


def test_a_difference_is_said_and_ends_in_1(monkeypatch, capsys):
    ends = [("epoch, after epoch 3", False), ("the end, after epoch 6", True)]
    monkeypatch.setattr(survival, "survive", lambda *_: iter(ends))
    with pytest.raises(SystemExit) as exit_:
        survival.main(["--kills", "1"])
    assert exit_.value.code == 1
    out = capsys.readouterr().out
    assert "kill 1: epoch, after epoch 3: DIFFERENT" in out
    assert "0 of 1 kills left" in out and "the end is equal" in out


def test_what_differs():
    row = {"epoch": 1, "loss": 0.5, "seconds": 3.0}
    assert survival._are_equal([], [row])
    assert survival._are_equal([{**row, "seconds": 9.0}], [row, row])
    assert not survival._are_equal([{**row, "loss": 0.25}], [row])
    assert not survival._are_equal([row, row], [row])

import pytest

from benchmarks import startup

# Draws what train.py draws, without training.
DRAWS = """
import sys, time
import tqdm
with tqdm.tqdm(total=3, file=sys.stderr, mininterval=0) as bar:
    time.sleep(0.2)
    bar.update()
    time.sleep(9)
"""
REFUSES = "import sys; sys.exit('error: no such data')"


@pytest.fixture
def trains(monkeypatch):
    def as_if(code):
        command = ["-c", code]
        monkeypatch.setattr(startup, "train_command", lambda *args: command)

    return as_if


def test_a_command_is_timed_and_its_code_checked():
    assert 0 < startup.time_command(("-c", "pass"), 0) < 30
    assert startup.time_command(("-c", "raise SystemExit(2)"), 2) > 0
    with pytest.raises(ChildProcessError, match=r"code 0\. Received: 2"):
        startup.time_command(("-c", "raise SystemExit(2)"), 0)


def test_the_first_step_is_seen_when_it_is_done(trains, tmp_path):
    trains(DRAWS)
    assert 0.2 < startup.time_first_step(tmp_path, 32) < 9


def test_a_training_that_ends_before_its_first_step_is_refused(trains, tmp_path):
    trains(REFUSES)
    with pytest.raises(ChildProcessError, match="error: no such data"):
        startup.time_first_step(tmp_path, 32)


@pytest.mark.parametrize(
    ("shown", "done"),
    [
        (b"train:   0%|          | 0/12 [00:00<?, ?step/s]", False),
        (b"train:   8%|#         | 1/12 [00:20<03:40, 20.0s/step]", True),
        (b"train:  50%|#####     | 120/240 [00:20<00:20, 6.0step/s]", True),
    ],
)
def test_what_the_bar_shows(shown, done):
    assert bool(startup.STEP_DONE.search(shown)) is done


def test_every_command_is_there():
    for arguments, _ in startup.COMMANDS.values():
        name = arguments[1] if arguments[0] == "-m" else arguments[0]
        path = startup.ROOT / name.removesuffix(".py").replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def test_a_command_that_fails_is_said(tmp_path):
    with pytest.raises(ChildProcessError, match="failed: error: no such data"):
        startup.call(["-c", REFUSES], tmp_path)
    assert startup.environment(tmp_path)["SYNERGYNET_CACHE"].startswith(str(tmp_path))

"""What a run's files survive: damage, a full disk, a kill, another process."""

import contextlib
import errno
import fcntl
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys

import pytest

from synergynet_tf import runs
from synergynet_tf.config import ExperimentConfig

HOLD = """
import sys
from synergynet_tf import runs
with runs.lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path):
    config = ExperimentConfig().replace(dataset="isic", name="vqunet", seed=3)
    folder = runs.run_dir(tmp_path, config)
    runs.write_text(folder / runs.CONFIG, config.to_json())
    return folder


@pytest.fixture
def holder(run):
    """Another process that holds the run's lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, run],
        cwd=pathlib.Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_content_name_and_folder_are_brought_to_the_disk_in_turn(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor):
        done.append(os.path.realpath(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def record_replace(old, new):
        done.append(f"{old} to {new}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    path = tmp_path / "a.txt"
    with runs.atomic_file(path) as temporary:
        temporary.write_text("")
    assert done == [str(temporary), f"{temporary} to {path}", str(tmp_path)]


def test_what_killed_writers_left_is_removed(tmp_path):
    with runs.atomic_file(tmp_path / "a.npz") as temporary:
        temporary.write_text("")
    kept = [".0123456g.txt", ".hidden.txt", ".lock", "a.npz"]
    for name in (temporary.name, *kept):
        (tmp_path / name).write_text("")
    runs.remove_temporaries(tmp_path)
    assert sorted(os.listdir(tmp_path)) == kept
    runs.remove_temporaries(tmp_path / "none")


def test_every_flipped_bit_of_a_sealed_file_is_seen(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"some content")
    runs.seal(path)
    runs.check_seal(path)
    sound = path.read_bytes()
    assert len(sound) == len(b"some content") + 32
    for bit in range(8 * len(sound)):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match="not what was written"):
            runs.check_seal(path)
    for size in range(len(sound)):
        path.write_bytes(sound[:size])
        with pytest.raises(ValueError, match="not what was written"):
            runs.check_seal(path)


def test_on_a_full_disk_the_file_is_named_and_the_old_one_kept(tmp_path):
    path = tmp_path / "a.json"
    runs.write_json(path, {"old": 1})
    with (
        pytest.raises(OSError, match=r"a\.json cannot be written \(No space left"),
        runs.atomic_file(path) as temporary,
    ):
        # A device that takes nothing, like a disk without room.
        temporary.symlink_to("/dev/full")
        temporary.write_text("new")
    assert os.listdir(tmp_path) == ["a.json"]
    assert path.read_text() == '{\n  "old": 1\n}\n'


def test_a_file_that_cannot_be_read_is_not_taken_for_the_one_written(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"No such file or directory: .*b"),
        runs.atomic_file(tmp_path / "a"),
    ):
        (tmp_path / "b").read_text()


def test_room_is_looked_for(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    try:
        runs.require_room(tmp_path, 2**20)
        with pytest.raises(OSError, match=r"no room for 1\.5 MiB"):
            runs.require_room(tmp_path, 3 * 2**19)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not os.listdir(tmp_path)


def test_damaged_best_weights_of_a_finished_run_are_refused(run):
    path = run / runs.BEST_WEIGHTS
    path.write_bytes(b"weights")
    # Runs of before have no digest.
    runs.write_json(run / runs.FINISHED, {})
    assert runs.Run(run).weights() == path
    runs.write_json(run / runs.FINISHED, {runs.WEIGHTS_SHA256: runs.sha256(path)})
    assert runs.Run(run).weights() == path
    path.write_bytes(b"weightr")
    with pytest.raises(ValueError, match=r"best\.weights\.h5 is damaged.*--force"):
        runs.Run(run).weights()
    for content in (b"", b"[]", b"\xff"):
        (run / runs.FINISHED).write_bytes(content)
        with pytest.raises(ValueError, match=r"finished\.json is damaged.*Delete it"):
            runs.Run(run).weights()


def test_a_run_is_deleted_in_an_order_that_a_kill_may_end(run, monkeypatch):
    (run / runs.CHECKPOINTS).mkdir()
    for name in (runs.FINISHED, runs.HISTORY, runs.LOCK, f"{runs.CHECKPOINTS}/a.npz"):
        (run / name).write_text("")
    gone = []

    def record(remove):
        return lambda path: gone.append(path.name) or remove(path)

    monkeypatch.setattr(pathlib.Path, "unlink", record(pathlib.Path.unlink))
    monkeypatch.setattr(shutil, "rmtree", record(shutil.rmtree))
    runs.delete(run)
    assert gone == [runs.FINISHED, runs.CHECKPOINTS, runs.HISTORY, runs.CONFIG]
    assert os.listdir(run) == [runs.LOCK]


def test_a_second_process_is_refused_and_told_of_the_first(run, holder):
    first = rf"is being trained by process {holder.pid} on {socket.gethostname()}\."
    for force in (False, True):
        with pytest.raises(BlockingIOError, match=first):
            runs.check_startable(run, runs.Run(run).config, force)
    with pytest.raises(BlockingIOError, match=first), runs.lock(run):
        pass
    assert (run / runs.LOCK).exists()


def test_a_lock_ends_with_its_process(run, holder):
    holder.kill()
    holder.wait()
    assert (run / runs.LOCK).exists()
    runs.check_startable(run, runs.Run(run).config, force=False)
    with runs.lock(run):
        pass
    assert not (run / runs.LOCK).exists()


def test_a_process_that_ends_well_leaves_no_lock(run, holder):
    holder.communicate("")
    assert holder.returncode == 0
    assert os.listdir(run) == [runs.CONFIG]


def test_a_lock_survives_the_deletion_of_its_run(run):
    with runs.lock(run) as lock:
        runs.delete(run)
        lock.require()
        with pytest.raises(BlockingIOError), runs.lock(run):
            pass


@pytest.mark.parametrize("made_again", [False, True])
def test_a_folder_that_was_removed_is_noticed(run, made_again):
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(runs.lock(run))
        shutil.rmtree(run)
        if made_again:
            other = stack.enter_context(runs.lock(run))
            other.require()
        with pytest.raises(FileNotFoundError, match=r"seed3 was removed"):
            lock.require()
    assert run.exists() is made_again


def test_a_file_system_without_locks_is_said(run, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    runs.check_startable(run, runs.Run(run).config, force=False)
    assert capsys.readouterr().err == ""
    with runs.lock(run):
        pass
    assert "cannot be locked (No locks available)" in capsys.readouterr().err

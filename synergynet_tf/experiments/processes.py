"""Runs trainings one after the other, each in its own process.

So each starts with free memory, and a run that fails, or is killed because memory ran
out, does not end the others. Nothing is kept but the runs' folders: the same command
goes on where it stopped.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import pathlib
import signal
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

from synergynet_tf import environment, errors, signals
from synergynet_tf.config import ExperimentConfig
from synergynet_tf.experiments.jobs import Job
from synergynet_tf.formats import duration

REASON_WIDTH = 300
# Seconds that a process may take to end its step and save.
PATIENCE_S = 60

Train = Callable[[ExperimentConfig, pathlib.Path], None]

# At once, because the processes write to the same file.
_say = functools.partial(print, flush=True)


def fit(config: ExperimentConfig, run: pathlib.Path) -> None:
    """Trains a run; imports Keras, which no other process here needs."""
    environment.reset_keras()
    from synergynet_tf import training

    training.fit(config, run)


def run_jobs(jobs: Sequence[Job], train: Train = fit, debug: bool = False) -> int:
    """Trains each run that is not finished, and says at the end what came of each.

    Args:
        jobs: Runs to train, in this order.
        train: Function that trains one run; of a module, so that a process can import
            it.
        debug: Whether refusals show their traceback.

    Returns:
        The number of runs that failed.

    Raises:
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the process that trained has
            saved and ended.
    """
    states = [job.state() for job in jobs]
    outcomes = dict.fromkeys(map(str, jobs), "not trained")
    failed, seconds = 0, []
    try:
        for number, job in enumerate(jobs, start=1):
            place, state = f"[{number}/{len(jobs)}] {job}", job.state()
            _say(f"{place}: {state.text}")
            outcomes[str(job)] = state.text
            if state.kind == "refused":
                failed += 1
                outcomes[str(job)] = f"failed: {state.text}"
            if state.kind != "open":
                continue
            outcomes[str(job)] = "interrupted"
            started = time.monotonic()
            reason = _train_apart(job, train, debug)
            seconds.append(time.monotonic() - started)
            took = duration(seconds[-1])
            outcomes[str(job)] = f"trained in {took}"
            if reason:
                failed += 1
                outcomes[str(job)] = f"failed after {took}: {reason}"
            _say(f"{place}: {outcomes[str(job)]}")
            if waiting := sum(state.kind == "open" for state in states[number:]):
                left = duration(waiting * sum(seconds) / len(seconds))
                _say(f"to be trained: {waiting} more, in about {left}")
    finally:
        width = max(map(len, outcomes))
        _say("\n".join(["", *(f"{k:<{width}}  {v}" for k, v in outcomes.items())]))
    return failed


def _train_apart(job: Job, train: Train, debug: bool) -> str:
    """Trains one run in a process; returns why it failed, or nothing."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_in_process, args=(sender, train, job.config, job.run, debug)
    )
    process.start()
    sender.close()
    try:
        process.join()
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.join(PATIENCE_S)
        finally:
            # Also on a second Ctrl-C: a run survives its end at any moment.
            process.kill()
            process.join()
        raise
    if process.exitcode == 0:
        return ""
    if process.exitcode and process.exitcode < 0:
        name = signal.Signals(-process.exitcode).name
        return f"its process was ended by {name}, for example for want of memory"
    try:
        return receiver.recv()
    except EOFError:
        return f"its process ended with code {process.exitcode}"


def _in_process(
    sender: Connection,
    train: Train,
    config: ExperimentConfig,
    run: pathlib.Path,
    debug: bool,
) -> None:
    """Trains one run; sends the reason if it fails."""
    # Ctrl-C ends the main process, which terminates this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with signals.Stop():
            train(config, run)
    except signals.Stopped as stopped:
        if str(stopped):
            _say(stopped, file=sys.stderr)
        sys.exit(stopped.code)
    except Exception as error:
        # Whatever it is, the other runs go on.
        reason = errors.message(error)
        if not errors.is_refusal(error):
            reason = f"{type(error).__name__}: {reason}"
        if debug or not errors.is_refusal(error):
            traceback.print_exc()
        # Short, because nobody reads the pipe before this process has ended.
        sender.send(textwrap.shorten(reason, REASON_WIDTH, placeholder=" ..."))
        sys.exit(1)


def _end_with_parent() -> None:
    """Ends this process with the one that started it, however that one ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

"""Argument parsing and errors of every command: one line on stderr, exit code 2."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import select
import sys
import textwrap
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

from synergynet_tf import environment, errors, signals
from synergynet_tf.cli import quiet

# Variables of other projects, and why they do not count here. They go before Keras is
# imported, in this process and in those that it starts.
IGNORED_VARIABLES = {
    "TF_USE_LEGACY_KERAS": "",  # Affects only KerasHub, which it breaks.
    "KERAS_MAX_EPOCHS": "--epochs says how long to train",
    "KERAS_MAX_STEPS_PER_EPOCH": "--limit makes epochs short",
}
# Python's own, without -W and PYTHONWARNINGS.
IGNORED_WARNINGS = (
    DeprecationWarning,
    PendingDeprecationWarning,
    ImportWarning,
    ResourceWarning,
)


class Mode(NamedTuple):
    """Flags that go with a flag that changes what a command does.

    All are named as their values are in the parsed arguments.

    Attributes:
        reason: Reason why no other flags go with it.
        own: Flags that only go with it.
        beside: Flags of the command that go with it, too.
    """

    reason: str
    own: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


class ArgumentParser(argparse.ArgumentParser):
    """An `argparse` parser whose errors are one line, and that takes `--debug`."""

    def __init__(self, description: str | None) -> None:
        super().__init__(
            description=_wrapped(description or ""),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument(
            "--debug", action="store_true", help="show the traceback of an error"
        )

    def given(self, args: argparse.Namespace) -> dict[str, str]:
        """Returns the flags that were given, by the names of their values.

        A flag given its default cannot be told from one that was left out.
        """
        return {
            action.dest: action.option_strings[-1]
            for action in self._actions
            if getattr(args, action.dest, action.default) != action.default
        }

    def check_modes(self, args: argparse.Namespace, modes: Mapping[str, Mode]) -> None:
        """Refuses flags that do not go together, in one line.

        Args:
            args: The parsed arguments.
            modes: Modes by the names of their flags' values.
        """
        given = self.given(args)
        for name, mode in modes.items():
            if name not in given:
                if alone := [given[flag] for flag in mode.own if flag in given]:
                    self.error(f"only with --{name}: {', '.join(alone)}")
                continue
            known = {name, "debug", *mode.own, *mode.beside}
            if others := [flag for dest, flag in given.items() if dest not in known]:
                self.error(f"not with --{name}: {', '.join(others)}; {mode.reason}")

    def error(self, message: str) -> NoReturn:
        """Prints `error: <message>` and exits with 2."""
        refuse(message)


def _wrapped(text: str) -> str:
    """Wraps each paragraph but those that are indented, as commands are."""
    return "\n\n".join(
        part if part.startswith(" ") else textwrap.fill(part, 78)
        for part in text.strip().split("\n\n")
    )


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Calls `main(arguments)` and turns what it refuses into one line.

    What `errors.is_refusal` names ends in `error: <message>` and exit code 2, or in its
    traceback with `--debug`. Ctrl-C exits with 130, SIGTERM with 143, and 141 says that
    nobody reads what is printed any more.
    """
    arguments = sys.argv[1:]
    # A terminal or a file of another encoding shows an escape, as on stderr, and does
    # not end the command.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # TensorFlow's start-up lines would bury the one that matters.
    log = contextlib.nullcontext() if "--debug" in arguments else quiet.quiet()
    try:
        environment.require_backend()
        _ignore_variables()
        if "--debug" not in arguments:
            _forgive_warnings()
        with log, signals.Stop():
            environment.reset_keras()
            main(arguments)
            sys.stdout.flush()  # Here, where it is known what to do if it fails.
    except KeyboardInterrupt as error:
        print(str(error) or "interrupted", file=sys.stderr)
        sys.exit(getattr(error, "code", 130))
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            # Neither does anybody read what is still to be written at the exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.exit(141)
        if "--debug" in arguments or not errors.is_refusal(error):
            raise
        refuse(errors.message(error))


def _nobody_reads() -> bool:
    """Tells whether the reader of what this process prints has ended, as `head` does.

    A pipe to a server may break, too: that is an error.
    """
    if not hasattr(select, "poll"):  # Windows.
        return False
    poll = select.poll()
    poll.register(1, 0)  # Of errors one is told in any case.
    return bool(poll.poll(0))


def _ignore_variables() -> None:
    """Removes variables of other projects; warns of those that would have an effect."""
    for name, reason in IGNORED_VARIABLES.items():
        if os.environ.pop(name, None) and reason:
            print(f"warning: {name} is ignored: {reason}", file=sys.stderr)


def _forgive_warnings() -> None:
    """Keeps libraries' warnings from being errors, whatever PYTHONWARNINGS says.

    Otherwise a library that uses a deprecated call would end the command. `--debug`
    leaves it to Python.
    """
    # `error` may be shortened.
    if not any(option.startswith("e") for option in sys.warnoptions):
        return
    # Processes that are started have them from these two.
    os.environ.pop("PYTHONWARNINGS", None)
    sys.warnoptions.clear()
    warnings.resetwarnings()
    for category in IGNORED_WARNINGS:
        warnings.simplefilter("ignore", category)


def refuse(message: str) -> NoReturn:
    """Prints `error: <message>` as one line and exits with 2."""
    line = " ".join(message.split())
    # A file's name may hold what a terminal obeys.
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    print(f"error: {text}", file=sys.stderr)
    sys.exit(2)

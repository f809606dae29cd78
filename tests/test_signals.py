import os
import signal
import subprocess
import sys
import threading

import pytest

from synergynet_tf import signals


@pytest.fixture(autouse=True)
def signals_as_they_were():
    before = {signum: signal.getsignal(signum) for signum in signals.SIGNALS}
    # What runs the tests may itself be deaf to Ctrl-C.
    for signum in signals.SIGNALS:
        signal.signal(signum, signal.SIG_DFL)
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_stops_where_it_arrives(name, code):
    with pytest.raises(signals.Stopped) as stopped, signals.Stop():
        os.kill(os.getpid(), getattr(signal, name))
    assert (stopped.value.code, str(stopped.value)) == (code, "")
    assert signal.getsignal(getattr(signal, name)) is signal.SIG_DFL


def test_a_signal_waits():
    with signals.Stop() as stop:
        stop.wait = True
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGTERM
        # The next Ctrl-C is the system's.
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


def test_a_second_interrupt_ends_the_process_whatever_it_does():
    program = """
import os, signal
from synergynet_tf import signals
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with signals.Stop() as stop:
        stop.wait = True
        os.kill(os.getpid(), signal.SIGINT)
        print("waits", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    print("is told")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, b"waits\n")


def test_what_was_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals.Stop() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        stop.wait = True
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_thread_takes_none():
    def enter():
        with signals.Stop():
            handlers.append(signal.getsignal(signal.SIGTERM))

    handlers = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]

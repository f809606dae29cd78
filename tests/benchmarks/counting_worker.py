"""A worker that pretends: it counts, waits, talks and fails as it is told to."""

import os
import sys
import time

from benchmarks import worker


def build(spec):
    if spec.get("broken"):
        raise ValueError("no such thing")
    print("a library talks on stdout")
    os.system("echo and a program that it calls")
    counted = []

    def count():
        counted.append(1)
        print("counted", len(counted))

    def fail():
        raise ArithmeticError(f"after {len(counted)}")

    calls = {
        "count": count,
        "wait": lambda: time.sleep(0.02),
        "fail": fail,
        "die": lambda: os._exit(3),
        "complain": lambda: (print("last words", file=sys.stderr), os._exit(4)),
        "sleep": lambda: time.sleep(600),
    }
    return calls, {"given": spec}


if __name__ == "__main__":
    worker.serve(build)

"""Hypothesis profiles of the fuzzing tests: `quick` is the default, `deep` a flag.

pytest tests/fuzz -m "slow or not slow" --hypothesis-profile=deep
"""

import collections
import itertools

from hypothesis import HealthCheck, settings

# A file is written, and read by another process: neither has a fixed time.
settings.register_profile(
    "quick",
    max_examples=6,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "deep",
    settings.get_profile("quick"),
    max_examples=500,
    derandomize=False,
    print_blob=True,
)
settings.load_profile("quick")


def pytest_terminal_summary(terminalreporter, config):
    """Prints how many mutated files each reader accepted, refused and failed on."""
    if config.getoption("--hypothesis-profile") is None:
        return
    verdicts = collections.defaultdict(collections.Counter)
    for report in itertools.chain(*terminalreporter.stats.values()):
        if getattr(report, "when", "") == "call":
            for name, kind in report.user_properties:
                verdicts[name][kind] += 1
    verdicts["all"] = sum(verdicts.values(), collections.Counter())
    terminalreporter.section("mutated files: accepted, refused, failed")
    for name, counts in verdicts.items():
        numbers = [counts[kind] for kind in ("accepted", "refused", "failed")]
        terminalreporter.line(f"{name:28}" + "".join(f"{n:7}" for n in numbers))

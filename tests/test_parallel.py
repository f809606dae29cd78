import os
import sys
import threading

import pytest

from synergynet_tf import parallel
from synergynet_tf.parallel import map_in_processes, read_ahead


def double(number):
    return 2 * number


def refuse_two(number):
    if number == 2:
        raise ValueError("Case 2: refused")
    return number


def die(number):
    os._exit(1)


def keras_is_imported(module):
    __import__(module)
    return {"keras", "tensorflow", "jax"} & set(sys.modules)


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order(workers):
    results = map_in_processes(double, range(20), workers)
    assert list(results) == list(range(0, 40, 2))


def test_arguments_are_not_made_far_ahead():
    made = []

    def arguments():
        for number in range(50):
            made.append(number)
            yield number

    results = map_in_processes(double, arguments(), 1)
    for count, _ in enumerate(results, start=1):
        assert len(made) <= count + 3  # two wait and one is being handed over
    assert len(made) == 50


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_arrive_as_they_are(workers):
    results = map_in_processes(refuse_two, range(4), workers)
    with pytest.raises(ValueError, match=r"^Case 2: refused$"):
        list(results)


def test_errors_of_the_arguments_arrive_too():
    def arguments():
        yield 1
        raise OSError("no such case")

    with pytest.raises(OSError, match="no such case"):
        list(map_in_processes(double, arguments(), 1))


def test_a_process_that_died_is_one_line():
    with pytest.raises(OSError, match=r"ended before its time.*--workers"):
        list(map_in_processes(die, range(3), 1))


def test_scoring_processes_do_not_import_keras():
    modules = ["synergynet_tf.evaluation.scores", "evaluate"]
    assert list(map_in_processes(keras_is_imported, modules, 1)) == [set(), set()]


def test_items_are_read_one_ahead_in_a_thread():
    made, threads = [], set()

    def items():
        for number in range(5):
            made.append(number)
            threads.add(threading.get_ident())
            yield number

    for count, item in enumerate(read_ahead(items()), start=1):
        assert item == count - 1
        assert len(made) <= count + 1
    assert made == list(range(5))
    assert len(threads) == 1 and threads != {threading.get_ident()}


def test_the_next_item_is_made_while_the_caller_works():
    begun = threading.Event()

    def items():
        yield 0
        begun.set()
        yield 1

    ahead = read_ahead(items())
    assert next(ahead) == 0
    assert begun.wait(10)  # It hangs for ever if nobody makes it.
    assert list(ahead) == [1]


def test_an_error_of_the_thread_follows_the_items_before_it():
    def items():
        yield 1
        raise OSError("no such case")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match=r"^no such case$"):
        next(ahead)


def test_the_thread_ends_with_the_caller():
    before = threading.active_count()
    ahead = read_ahead(iter(range(1000)))
    assert next(ahead) == 0
    ahead.close()
    assert threading.active_count() == before


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert parallel.usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert parallel.usable_cores() == 1

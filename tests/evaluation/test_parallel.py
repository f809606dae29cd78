import os
import sys

import pytest

from synergynet_tf.evaluation.parallel import map_in_processes


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
    modules = ["synergynet_tf.evaluation.case_scores", "evaluate"]
    assert list(map_in_processes(keras_is_imported, modules, 1)) == [set(), set()]

"""Jobs shared out among processes: results, errors, killed ones. Spawning takes seconds."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from cosseg_jax.data.builders.processes import completed
from cosseg_jax.errors import MissingFileError, UserError


def doubled(job: int) -> tuple[int, int]:
    return 2 * job, os.getpid()


def failing(job: type[Exception]) -> None:
    raise job("as asked")


def killed(job: int) -> int:
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return job


def no_children_left() -> bool:
    return not multiprocessing.active_children()


def test_one_process_is_this_one():
    assert list(completed(doubled, [1, 2], 1)) == [(2, os.getpid()), (4, os.getpid())]


def test_no_jobs():
    assert list(completed(doubled, [], 4)) == []


def test_every_job_is_done_once_by_another_process():
    results = list(completed(doubled, list(range(20)), 2))
    assert sorted(number for number, _ in results) == list(range(0, 40, 2))
    assert os.getpid() not in {process for _, process in results}
    assert no_children_left()


@pytest.mark.parametrize("raised", [UserError, MissingFileError, OSError, KeyError])
def test_an_error_arrives_and_ends_the_others(raised):
    with pytest.raises(raised, match="as asked"):
        list(completed(failing, [raised] * 3, 2))
    assert no_children_left()


def test_a_process_that_is_killed_at_its_work():
    with pytest.raises(ChildProcessError, match="one of the processes has ended"):
        list(completed(killed, list(range(10)), 2))
    assert no_children_left()


def test_a_process_that_is_killed_while_they_start():
    def kill_the_first() -> None:
        while not multiprocessing.active_children():
            time.sleep(0.001)
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises(ChildProcessError):
        list(completed(doubled, list(range(50)), 2))
    killer.join()
    assert no_children_left()


def test_results_may_be_left_untaken():
    results = completed(doubled, list(range(8)), 2)
    next(results)
    results.close()
    assert no_children_left()

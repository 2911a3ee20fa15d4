from __future__ import annotations

import threading

from workbench.widgets.kit import NewestWins


def test_of_many_inputs_the_one_that_runs_and_the_last_are_run() -> None:
    started, go_on = threading.Event(), threading.Event()
    ran: list[int] = []

    def run(item: int) -> None:
        started.set()
        go_on.wait()
        ran.append(item)

    worker = NewestWins(run, name="test")
    worker.submit(0)
    started.wait()
    replaced = [worker.submit(item) for item in range(1, 100)]
    assert replaced == [None, *range(1, 99)]
    assert not worker.idle
    go_on.set()
    assert worker.wait(60)
    assert ran == [0, 99]
    assert worker.idle
    worker.close()


def test_an_input_after_a_pause_is_run_too() -> None:
    ran: list[int] = []
    worker = NewestWins(ran.append, name="test")
    for item in range(3):
        worker.submit(item)
        assert worker.wait(60)
    assert ran == [0, 1, 2]
    worker.close()


def test_closing_ends_the_thread_and_refuses_what_comes_after() -> None:
    ran: list[int] = []
    worker = NewestWins(ran.append, name="a worker to be closed")
    worker.submit(1)
    assert worker.wait(60)
    worker.close()
    assert worker.submit(2) == 2
    for thread in threading.enumerate():
        if thread.name == "a worker to be closed":
            thread.join(60)
            assert not thread.is_alive()
    assert ran == [1]


def test_no_thread_is_started_before_there_is_work() -> None:
    before = threading.active_count()
    NewestWins(print, name="idle").close()
    assert threading.active_count() == before

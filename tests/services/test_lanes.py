"""Work in lanes: side by side, one at a time each, and nothing that goes wrong stays behind."""

import threading
import time

from releases.services.lanes import Lanes


def finished(event: threading.Event) -> bool:
    return event.wait(5)


def test_lane_that_hangs_is_left_alone_and_the_others_go_on() -> None:
    lanes, hang, begun, done = Lanes(), threading.Event(), threading.Event(), threading.Event()

    def stuck() -> None:
        begun.set()
        hang.wait(5)

    assert lanes.start("blue", stuck)
    assert finished(begun)
    assert not lanes.start("blue", done.set)
    assert lanes.start("green", done.set)
    assert finished(done)
    hang.set()
    again = threading.Event()
    deadline = time.monotonic() + 5
    while not lanes.start("blue", again.set):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert finished(again)


def test_lane_whose_work_raises_is_free_for_the_next() -> None:
    lanes, done = Lanes(), threading.Event()

    def fail() -> None:
        raise ValueError("broken")

    assert lanes.start("blue", fail)
    deadline = time.monotonic() + 5
    while not lanes.start("blue", done.set):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert finished(done)

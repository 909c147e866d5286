"""A signal that comes where a KeyboardInterrupt would be lost, or do harm, is answered a little later."""

import contextlib
import signal

import pytest

from tinycnn.track.interruption import uninterrupted


@pytest.fixture(autouse=True)
def handler():
    """Python's own handler, which other tests may have replaced; it is there again afterwards."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"])
def test_what_would_swallow_an_interruption_is_finished_first(name):
    number, done = getattr(signal, name), []
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), uninterrupted(), uninterrupted():
            with contextlib.suppress(BaseException):  # as a package does while it is imported
                signal.raise_signal(number)
            done.append(True)
        assert done and signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_an_interruption_is_not_lost_where_the_block_fails():
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        raise OSError


def test_a_second_interruption_is_answered_at_once():
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("still waiting")

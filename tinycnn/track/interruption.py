"""Where a KeyboardInterrupt would do harm.

A package that is being imported may swallow it (``except: pass``, or in a weak reference's function); and what a call
to a store has open, such as a database, stays locked for as long as the exception is being handled.
"""

import contextlib
import signal
import threading


@contextlib.contextmanager
def uninterrupted():
    """Put a signal off until the block has ended, but not a second one."""
    before, late = {}, []

    def put_off(number, frame):
        late.append(number)
        restore()

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        if threading.current_thread() is threading.main_thread():  # no other gets signals
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):  # the last is Slurm's
                if callable(handler := signal.getsignal(number)):
                    before[number] = handler
                    signal.signal(number, put_off)
        yield
    finally:
        restore()
        for number in late:
            signal.raise_signal(number)

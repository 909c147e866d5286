"""What a training in another process, or in a job on a cluster, tells the one who watches it."""

import functools
from dataclasses import replace

from tinycnn.track.plan import Reporter


class Forwarding(Reporter):
    """Reports to the process that ``send`` leads to, without what cannot be pickled."""

    def __init__(self, send):
        for name in ("notice", "warning", "recorded", "images"):
            setattr(self, name, functools.partial(send, name))
        self._send = send

    def started(self, plan, seed, history):
        self._send("started", seed, history)

    def epoch(self, seed, result):
        self._send("epoch", seed, replace(result, state=None))

    def finished(self, seed, history):
        self._send("finished", seed, [replace(result, state=None) for result in history])


class Ended(Reporter):
    """Reports of a job what is worth reading when it has ended."""

    def __init__(self, send):
        self.notice, self.warning = functools.partial(send, "notice"), functools.partial(send, "warning")
        self.finished = Forwarding(send).finished


def pass_on(plan, reporter, what, *content):
    """Tell a reporter what ``Forwarding`` sent."""
    getattr(reporter, what)(*((plan,) if what == "started" else ()), *content)

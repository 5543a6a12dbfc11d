"""Judges of accounts over a store in memory, which never keeps anybody waiting: tests call them without an event loop."""

import inspect


def at_once(coroutine):
    """What a coroutine that never waits comes to."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("it waited")


class AtOnce:
    """A judge whose news is told to the others after each call, as a worker does."""

    def __init__(self, judge):
        self._judge = judge

    def __getattr__(self, name):
        found = getattr(self._judge, name)
        if not callable(found):
            return found

        def call(*args, **named):
            answer = found(*args, **named)
            if inspect.iscoroutine(answer):
                answer = at_once(answer)
            if self._judge.is_due:
                at_once(self._judge.flush())
            return answer

        return call

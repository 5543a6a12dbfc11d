"""Account breakers and limits over a store in memory, which never waits: tests call them without an event loop."""

import inspect


def at_once(coroutine):
    """Return the result of a coroutine that never waits. Raises `AssertionError` if it waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("it waited")


class AtOnce:
    """A wrapper that writes pending changes to the store after each call, as a worker does."""

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

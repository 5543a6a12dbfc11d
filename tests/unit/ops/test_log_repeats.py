"""Repeats of a warning or error are counted, and other lines are always written."""

import io
import logging as standard

import msgspec
import pytest
import structlog

from clarion.domain.limits_processes import LOG_REPEATS_KEPT_MAX, LOG_REPEATS_MAX, LOG_REPEATS_MS
from clarion.ops.log_repeats import LEFT_OUT, Repeats
from clarion.ops.logging import configure

pytestmark = pytest.mark.usefixtures("restored_logging")


class World:
    """A filter on a clock of its own."""

    def __init__(self):
        self.now_s, self.reported = 0.0, []
        self.repeats = Repeats(lambda event, lines: self.reported.append((event, lines)), lambda: self.now_s)

    def passes(self, event="broken", level=standard.ERROR, exc_info=None, **fields):
        record = standard.LogRecord("clarion", level, "", 0, {"event": event, **fields}, (), exc_info)
        return self.repeats.filter(record)


def failed(kind, place):
    """Return the exception information of an error raised at one of two places."""
    try:
        if place:
            raise kind("at one place")
        raise kind("at another")
    except kind as error:
        return type(error), error, error.__traceback__


def test_the_first_repeats_are_written_and_the_others_counted():
    world = World()
    written = [
        world.passes(error=f"no ntf_{number:032x} at 0x7f{number:04x}", after=1_000 + number) for number in range(1_000)
    ]
    assert written == [True] * LOG_REPEATS_MAX + [False] * (1_000 - LOG_REPEATS_MAX)
    assert world.reported == []
    world.now_s = LOG_REPEATS_MS / 1000
    assert world.passes("unrelated", standard.INFO)
    assert world.reported == [("broken", 1_000 - LOG_REPEATS_MAX)]
    assert world.passes(error=f"no ntf_{1:032x} at 0x7f0001", after=1_000)
    world.repeats.report_all()
    assert len(world.reported) == 1, "nothing was left out since"


def test_lines_of_other_kinds_do_not_count():
    world = World()
    for _ in range(LOG_REPEATS_MAX + 1):
        world.passes(partition=1, exc_info=failed(ValueError, True))
    assert not world.passes(partition=1, exc_info=failed(ValueError, True))
    assert world.passes(partition=2, exc_info=failed(ValueError, True))
    assert world.passes(partition=1, exc_info=failed(ValueError, False))
    assert world.passes(partition=1, exc_info=failed(KeyError, True))
    assert world.passes("another", partition=1)
    assert all(world.passes(level=standard.INFO) for _ in range(LOG_REPEATS_MAX * 2))


def test_the_kinds_that_are_counted_are_bounded():
    world = World()
    for number in range(LOG_REPEATS_KEPT_MAX + 1):
        for _ in range(LOG_REPEATS_MAX + 1):
            world.passes(f"kind {'x' * number}")
    assert len(world.repeats._windows) == 1
    assert len(world.reported) == LOG_REPEATS_KEPT_MAX
    assert {lines for _, lines in world.reported} == {1}


@pytest.mark.parametrize("library", [False, True])
def test_a_log_says_how_many_lines_were_left_out_at_the_latest_at_its_end(library):
    stream = io.StringIO()
    configure("info", "json", role="api", stream=stream)
    for number in range(LOG_REPEATS_MAX + 7):
        if library:
            standard.getLogger("some.library").error("failed after %d s", 100 + number)
        else:
            structlog.get_logger().error("failed", error=f"after {100 + number} s")
    (handler,) = standard.getLogger().handlers
    handler.close()
    *lines, last = [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == LOG_REPEATS_MAX
    assert (last["event"], last["lines"], last["level"]) == (LEFT_OUT, 7, "warning")
    assert last["of"].startswith("failed")

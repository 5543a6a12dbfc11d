"""How long the scheduler pauses, over values alone."""

import pytest

from clarion.wait.rules.pause import PAUSE_MS_MAX, pause_until


@pytest.mark.parametrize(
    ("due_ms", "pause_ms"),
    [(None, PAUSE_MS_MAX), (1_400, 400), (1_000, 0), (900, -100), (1_000_000, PAUSE_MS_MAX)],
)
def test_it_pauses_until_the_next_timer_but_not_for_ever(due_ms, pause_ms):
    assert pause_until(due_ms, 1_000) == pause_ms

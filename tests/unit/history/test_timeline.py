"""The status of a notification, from its deliveries, its cancellation and its workflow."""

import pytest

from clarion.domain.delivery_state import State
from clarion.domain.history import Delivery, Notification
from clarion.history.rules.timeline import status

PLANNED = Notification("acme", bytes(16), 1, 2, None, "normal", "", "news", b"")
WAITING = Notification("acme", bytes(16), 1, None, 9, "normal", "", "news", b"")


def rows(*states):
    return [Delivery(bytes([n]) * 24, "acme", "ada", "push", "token", state) for n, state in enumerate(states)]


@pytest.mark.parametrize(
    ("states", "cancelled", "word"),
    [
        ((State.SENT, State.SKIPPED), False, "completed"),
        ((State.SENT, State.RETRYING), False, "in_progress"),
        ((State.SENT, State.HELD), False, "in_progress"),
        ((State.CANCELLED, State.CANCELLED), True, "cancelled"),
        ((State.HELD, State.CANCELLED), True, "cancelled"),
        ((State.SENT, State.CANCELLED), True, "completed"),
        ((State.HELD, State.SENDING), True, "in_progress"),
        ((State.SENT, State.HELD), True, "in_progress"),
    ],
)
def test_deliveries_and_a_cancellation_give_one_status(states, cancelled, word):
    assert status(PLANNED, rows(*states), 3 if cancelled else None) == word


def test_a_running_workflow_is_in_progress_whatever_was_sent():
    assert status(PLANNED, rows(State.SENT), None, running=True) == "in_progress"


@pytest.mark.parametrize(
    ("notification", "cancelled_ms", "word"),
    [(None, None, "accepted"), (WAITING, None, "scheduled"), (WAITING, 2, "cancelled"), (PLANNED, None, "completed")],
)
def test_without_deliveries_the_status_is_that_of_the_notification(notification, cancelled_ms, word):
    assert status(notification, [], cancelled_ms) == word

"""The fitting of a message stays with the accepted attempt, whatever is recorded later."""

from clarion.domain.delivery_state import Event, State
from clarion.domain.history import Attempt, Delivery, Notification
from clarion.history.rules.timeline import attempts, moments
from clarion.record.rules.fold import Fold
from clarion.record.rules.rows import Rows

ID = bytes(24)
CUT = "the body was shortened from 5,120 to 3,802 bytes: 4,096 bytes are what FCM takes"


def begun() -> tuple[Fold, Delivery]:
    row = Delivery(ID, "acme", "ada", "push", "token", State.PLANNED, planned_ms=1)
    return Fold(Rows({ID: row}, {})), row


def attempt(number: int, event: Event, outcome: str, detail: str, at_ms: int) -> Attempt:
    return Attempt(ID, "acme", number, at_ms, at_ms - 1, event, outcome, 0, detail, "main", "fcm", "id", None)


def stored(fold: Fold) -> list[Attempt]:
    """Return the rows as a store has them: the last one of a key wins."""
    kept = {(one.delivery_id, one.attempt, one.finished_ms, one.event): one for one in fold.changes.attempts}
    return list(kept.values())


def test_an_accepted_attempt_keeps_its_detail():
    fold, row = begun()
    fold.intents(2, [ID], [1])
    fold.attempted(Event.ACCEPTED, attempt(1, Event.ACCEPTED, "accepted", CUT, 3))
    assert (row.state, row.detail) == (State.SENT, "")
    assert [(one.attempt, one.event, one.detail) for one in attempts(row, stored(fold))] == [(1, "accepted", CUT)]
    result = moments(Notification("acme", bytes(16), 1, 1, None, "normal", "", "news", b""), [row], stored(fold), None)
    assert [(one.event, one.detail) for one in result] == [("accepted", ""), ("planned", ""), ("accepted", CUT)]


def test_the_detail_stays_after_a_bounce_and_a_replay():
    fold, row = begun()
    fold.intents(2, [ID], [1])
    fold.attempted(Event.ACCEPTED, attempt(1, Event.ACCEPTED, "accepted", CUT, 3))
    fold.attempted(Event.BOUNCED, attempt(1, Event.BOUNCED, "", "gone", 4))
    fold.replayed([ID], [5])
    fold.intents(6, [ID], [2])
    fold.attempted(Event.ACCEPTED, attempt(2, Event.ACCEPTED, "accepted", "", 7))
    assert [(one.attempt, one.event, one.detail) for one in attempts(row, stored(fold))] == [
        (1, "accepted", CUT),
        (2, "accepted", ""),
    ]


def test_without_a_detail_nothing_more_is_stored():
    fold, _ = begun()
    fold.intents(2, [ID], [1])
    fold.attempted(Event.ACCEPTED, attempt(1, Event.ACCEPTED, "accepted", "", 3))
    assert fold.changes.attempts == []


def test_the_words_of_a_message_assumed_sent_stay_with_the_delivery():
    fold, row = begun()
    fold.intents(2, [ID], [1])
    fold.attempted(Event.ACCEPTED, attempt(1, Event.ACCEPTED, "ambiguous", "no answer", 3))
    assert row.detail == "no answer" and fold.changes.attempts == []

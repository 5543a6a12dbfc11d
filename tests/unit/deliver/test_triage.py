"""Facts in, decisions out: which deliveries are sent; deciding has no side effects."""

import pytest

from clarion.deliver.partition.recovered import RecoveredAttempts
from clarion.deliver.partition.triage import TriageFacts, drop_cancelled, triage_deliveries
from clarion.deliver.partition.work import Work
from clarion.deliver.rules.window import Pending
from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Account
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event, State
from clarion.domain.trail import Trail
from clarion.journal.events import IntentFrame
from clarion.journal.intents import decode_intents, encode_intents
from tests.unit.deliver.test_slow_builds import ROW

NOW_MS = 1_000_000
NOTHING = TriageFacts({}, frozenset(), frozenset(), frozenset(), {}, {})
MAIN, SPARE = (Account("acme", name, Channel.EMAIL, name.upper(), 0, {}, {}) for name in ("main", "spare"))


def work(**changes) -> Work:
    return Work(ROW._replace(**changes), Lane.NORMAL, Pending(1, 1, 0, {}))


def begun(*attempts: int, through: str = "") -> RecoveredAttempts:
    """Return the open intents of `ROW` after an intent for each of these attempts."""
    recovered = RecoveredAttempts()
    for attempt in attempts:
        through_all = [through] if through else []
        frame = IntentFrame("w", 1, 0, "email", None, 0, [ROW.delivery_id], [attempt], through_all)
        recovered.add(decode_intents(encode_intents([frame])))
    return recovered


def ends(triage) -> list[tuple[Event, Reason]]:
    return [(result.next.event, result.next.reason) for _, result in triage.ended]


@pytest.mark.parametrize(
    ("changes", "facts", "end"),
    [
        ({"expires_ms": NOW_MS}, {}, (Event.EXPIRED, Reason.EXPIRED)),
        ({}, {"suppressed": {(ROW.tenant, ROW.address)}}, (Event.REFUSED, Reason.SUPPRESSED)),
        ({}, {"cancelled": {ids.notification_of(ROW.delivery_id)}}, (Event.CANCELLED, Reason.CANCELLED)),
    ],
)
def test_deliveries_that_must_not_be_sent_end(changes, facts, end):
    other = work(delivery_id=bytes(24), address="b@x.example", expires_ms=NOW_MS + 1)
    triage = triage_deliveries([one := work(**changes), other], NOTHING._replace(**facts), None, NOW_MS)
    assert (ends(triage), [item for item, _ in triage.ended], triage.send) == ([end], [one], [other])


@pytest.mark.parametrize(
    ("state", "closes"),
    [((State.DELIVERED, 1), True), ((State.DEAD, 2), True), ((State.DEAD, 1), False), ((State.SENT, 1), False)],
)
def test_a_repeated_delivery_that_is_settled_is_closed(state, closes):
    item = work(attempt=2)
    triage = triage_deliveries([item], NOTHING._replace(states={ROW.delivery_id: state}), None, NOW_MS)
    assert (triage.settled, triage.send) == (([item], []) if closes else ([], [item]))


def test_lost_attempts_are_recorded_and_the_delivery_continues_unchanged():
    facts = NOTHING._replace(
        accounts={ROW.tenant: [MAIN, SPARE]}, on_ambiguous={(ROW.tenant, name): "retry" for name in ("main", "spare")}
    )
    item = work()
    triage = triage_deliveries([item], facts, begun(1, 2, through="spare"), NOW_MS)
    assert [(one.row.attempt, one.answer.provider, one.answer.vendor) for one in triage.lost] == [
        (1, "spare", "SPARE"),
        (2, "spare", "SPARE"),
    ]
    assert item.row == ROW
    ((moved, row),) = triage.reassigned
    assert (moved, row) == (item, ROW._replace(attempt=3, trail=Trail(pinned="spare")))
    assert triage.send == [item]
    assert triage_deliveries([item], facts, begun(1, 2, through="spare"), NOW_MS) == triage


def test_the_account_behind_a_loss_decides_what_follows():
    facts = NOTHING._replace(accounts={ROW.tenant: [MAIN]}, on_ambiguous={(ROW.tenant, "main"): "stop"})
    assert ends(triage_deliveries([work()], facts, begun(1), NOW_MS)) == [(Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)]
    gone = NOTHING._replace(accounts={ROW.tenant: []})
    assert len(triage_deliveries([work()], gone, begun(1), NOW_MS).lost) == 1


def test_cancelled_deliveries_are_removed_before_sending():
    items = [work(), work(delivery_id=bytes(24))]
    assert drop_cancelled(items, frozenset(), NOW_MS) == (items, [])
    send, ended = drop_cancelled(items, frozenset({ids.notification_of(ROW.delivery_id)}), NOW_MS)
    assert (send, [(item, result.next.event) for item, result in ended]) == ([items[1]], [(items[0], Event.CANCELLED)])

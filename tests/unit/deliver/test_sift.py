"""Facts in, decisions out: which deliveries are sent, and that deciding changes nothing."""

import pytest

from clarion.deliver.partition.legacy import Legacy
from clarion.deliver.partition.sift import Facts, sift, withdraw
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
NOTHING = Facts({}, frozenset(), frozenset(), frozenset(), {}, {})
MAIN, SPARE = (Account("acme", name, Channel.EMAIL, name.upper(), 0, {}, {}) for name in ("main", "spare"))


def work(**changes) -> Work:
    return Work(ROW._replace(**changes), Lane.NORMAL, Pending(1, 1, 0, {}))


def begun(*attempts: int, through: str = "") -> Legacy:
    """What an intent of `ROW` for each of these attempts leaves behind."""
    legacy = Legacy()
    for attempt in attempts:
        through_all = [through] if through else []
        frame = IntentFrame("w", 1, 0, "email", None, 0, [ROW.delivery_id], [attempt], through_all)
        legacy.learn(decode_intents(encode_intents([frame])))
    return legacy


def ends(sifted) -> list[tuple[Event, Reason]]:
    return [(result.next.event, result.next.reason) for _, result in sifted.ended]


@pytest.mark.parametrize(
    ("changes", "facts", "end"),
    [
        ({"expires_ms": NOW_MS}, {}, (Event.EXPIRED, Reason.EXPIRED)),
        ({}, {"suppressed": {(ROW.tenant, ROW.address)}}, (Event.REFUSED, Reason.SUPPRESSED)),
        ({}, {"cancelled": {ids.notification_of(ROW.delivery_id)}}, (Event.CANCELLED, Reason.CANCELLED)),
    ],
)
def test_what_is_not_to_be_sent_ends(changes, facts, end):
    other = work(delivery_id=bytes(24), address="b@x.example", expires_ms=NOW_MS + 1)
    sifted = sift([one := work(**changes), other], NOTHING._replace(**facts), None, NOW_MS)
    assert (ends(sifted), [item for item, _ in sifted.ended], sifted.send) == ([end], [one], [other])


@pytest.mark.parametrize(
    ("state", "closes"),
    [((State.DELIVERED, 1), True), ((State.DEAD, 2), True), ((State.DEAD, 1), False), ((State.SENT, 1), False)],
)
def test_a_repeated_delivery_that_is_settled_is_closed(state, closes):
    item = work(attempt=2)
    sifted = sift([item], NOTHING._replace(states={ROW.delivery_id: state}), None, NOW_MS)
    assert (sifted.closed, sifted.send) == (([item], []) if closes else ([], [item]))


def test_lost_attempts_are_told_and_the_delivery_goes_on_without_being_touched():
    facts = NOTHING._replace(
        accounts={ROW.tenant: [MAIN, SPARE]}, on_ambiguous={(ROW.tenant, name): "retry" for name in ("main", "spare")}
    )
    item = work()
    sifted = sift([item], facts, begun(1, 2, through="spare"), NOW_MS)
    assert [(one.row.attempt, one.answer.provider, one.answer.vendor) for one in sifted.lost] == [
        (1, "spare", "SPARE"),
        (2, "spare", "SPARE"),
    ]
    assert item.row == ROW
    ((moved, row),) = sifted.moved
    assert (moved, row) == (item, ROW._replace(attempt=3, trail=Trail(pinned="spare")))
    assert sifted.send == [item]
    assert sift([item], facts, begun(1, 2, through="spare"), NOW_MS) == sifted


def test_the_account_behind_a_loss_decides_what_follows():
    facts = NOTHING._replace(accounts={ROW.tenant: [MAIN]}, on_ambiguous={(ROW.tenant, "main"): "stop"})
    assert ends(sift([work()], facts, begun(1), NOW_MS)) == [(Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)]
    gone = NOTHING._replace(accounts={ROW.tenant: []})
    assert len(sift([work()], gone, begun(1), NOW_MS).lost) == 1


def test_whoever_is_cancelled_is_taken_out_of_those_about_to_be_sent():
    items = [work(), work(delivery_id=bytes(24))]
    assert withdraw(items, frozenset(), NOW_MS) == (items, [])
    send, ended = withdraw(items, frozenset({ids.notification_of(ROW.delivery_id)}), NOW_MS)
    assert (send, [(item, result.next.event) for item, result in ended]) == ([items[1]], [(items[0], Event.CANCELLED)])

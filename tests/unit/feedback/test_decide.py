"""The decision on a receipt call, over values alone."""

from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_delivery import RECEIPT_AHEAD_MS_MAX, WORD_ONCE_MS
from clarion.feedback.decide import FeedbackFacts, Lift, SuppressionChanges, decide
from clarion.feedback.match import LookupResults, Members, ReceiptLookups, ReceiptMatch, early, lookups, match
from clarion.journal.codec import decode
from clarion.ports.control_accounts import Suppression
from clarion.ports.receipts import Inbound, Receipt, Suppress

NOW_MS = 1_700_000_000_000
PARTITIONS = 4
SES = Account("acme", "mail", Channel.EMAIL, "ses", 0, {}, {})
NOTIFICATION = ids.notification_id(NOW_MS - 9_000, 3, b"n" * 9)
DELIVERY = ids.delivery_id(NOTIFICATION, "ada", "email", "ada@example.com")
BROADCAST = ids.notification_id(NOW_MS - 9_000, 1, b"b" * 9)
CHUNK = BROADCAST + b"chunk-0\x02"
MEMBER = ids.delivery_id(BROADCAST, "bo", "email", "bo@example.com")
MEMBERS = Members("email", ["ada", "bo"], ["ada@example.com", "bo@example.com"])
SINGLE = Receipt("delivered", "e1", ids.reference(DELIVERY, None))
OF_CHUNK = Receipt("delivered", "e2", ids.reference(MEMBER, (CHUNK, 1)))
FOREIGN = Receipt("delivered", "e3", "", vendor_message_id="m-1")
NOTHING = LookupResults(frozenset(), {}, {})


def matched(receipt: Receipt, found: LookupResults) -> ReceiptMatch | None:
    return match(receipt, found, NOW_MS, PARTITIONS)


def test_lookups_name_each_thing_once_and_nothing_unbelievable():
    later = ids.notification_id(NOW_MS + RECEIPT_AHEAD_MS_MAX + 1, 1, b"f" * 9) + b"8" * 8
    parsed = [SINGLE, SINGLE, OF_CHUNK, FOREIGN, Receipt("delivered", "e4", ids.reference(later, None))]
    wanted = lookups(SES, parsed, NOW_MS, PARTITIONS)
    assert wanted == ReceiptLookups(frozenset({DELIVERY}), frozenset({"m-1"}), frozenset({CHUNK}))
    by_reference_only = Account("acme", "mail", Channel.EMAIL, "sendgrid", 0, {}, {})
    assert lookups(by_reference_only, [FOREIGN], NOW_MS, PARTITIONS) == ReceiptLookups()


def test_found_rows_make_the_match():
    assert matched(SINGLE, NOTHING) == ReceiptMatch(DELIVERY, None, False)
    assert matched(SINGLE, NOTHING._replace(delivery_ids=frozenset({DELIVERY}))) == ReceiptMatch(DELIVERY, None, True)
    whole = NOTHING._replace(chunks={CHUNK: MEMBERS})
    assert matched(OF_CHUNK, whole) == ReceiptMatch(MEMBER, (CHUNK, 1), True, "bo", "bo@example.com")
    assert matched(Receipt("delivered", "e", ids.reference(MEMBER, (CHUNK, 0))), whole) is None
    assert matched(FOREIGN, NOTHING) is None


def test_deliveries_that_may_be_recorded_soon_are_named():
    parsed = [SINGLE, OF_CHUNK, FOREIGN]
    assert early(SES, parsed, [matched(one, NOTHING) for one in parsed]) == [1, 2]


def test_a_call_becomes_frames_by_partition_and_suppressions_in_their_order():
    parsed = [
        SINGLE,
        Receipt("bounced", "e5", OF_CHUNK.reference, once=True, suppress=Suppress("Bo@Example.com", "hard_bounce")),
        Receipt("resubscribed", "e6", suppress=Suppress("ada@example.com", "unsubscribed", lift=True)),
        Receipt("bounced", "e7", suppress=Suppress("no address", "hard_bounce")),
    ]
    matches = [
        ReceiptMatch(DELIVERY, None, True),
        ReceiptMatch(MEMBER, (CHUNK, 1), True, "bo", "bo@example.com"),
        None,
        None,
    ]
    result = decide(SES, parsed, FeedbackFacts(matches, frozenset(), PARTITIONS), b"digest", NOW_MS)
    frames = {frame.partition: decode(frame.payload) for frame in result.stored.frames}
    assert [frames[3].delivery_ids, frames[2].user_ids] == [[DELIVERY], ["bo"]]
    assert [(entry.body_hash, entry.answer) for entry in result.stored.accept_state.idempotency] == [(b"digest", b"")]
    assert result.changed == SuppressionChanges(
        [Lift("ada@example.com", "unsubscribed", NOW_MS)],
        [Suppression(Channel.EMAIL, "bo@example.com", "hard_bounce", NOW_MS, None)],
        ["hard_bounce"],
    )
    assert result.receipts == [("delivered", True), ("bounced", True), ("resubscribed", False), ("bounced", False)]


def test_words_count_once_and_only_asking_ones_change_anything():
    parsed = [
        Inbound(str(n), "ada@example.com", word, word) for n, word in enumerate(("stop", "start", "help", "stop"))
    ]
    result = decide(SES, parsed, FeedbackFacts([], frozenset({"3"}), PARTITIONS), b"", NOW_MS)
    assert result.words == ["stop", "start", "help"]
    assert [(len(one.added), len(one.lifted)) for one in result.by_words] == [(1, 0), (0, 1)]
    assert [entry.expires_ms for entry in result.seen_messages] == [NOW_MS + WORD_ONCE_MS] * 2
    assert not result.stored.frames

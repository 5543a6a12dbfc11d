"""The result of one call's receipts and inbound messages: frames, idempotency entries, and changes of suppressions. A bounce
or complaint suppresses an address; so does an inbound STOP, which a START lifts."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from clarion.domain import ids
from clarion.domain.content import Account
from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX, RECEIPT_ONCE_MS, WORD_ONCE_MS
from clarion.domain.limits_processes import FRAME_RECORDS_MAX
from clarion.feedback.match import ReceiptMatch, partition_of
from clarion.feedback.rules.receipts import STOP, moment_ms, suppressible, until_ms
from clarion.journal.codec import encode
from clarion.journal.events import ReceiptFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.control_accounts import Suppression
from clarion.ports.receipts import Inbound, Receipt, Suppress
from clarion.ports.stage_store import AcceptState, IdempotencyEntry, StageResult
from clarion.ports.streams import Frame

Pair: TypeAlias = tuple[Receipt, ReceiptMatch]


class FeedbackFacts(NamedTuple):
    """The match of each receipt, in order; the event ids of inbound messages that were applied before; the number of
    partitions."""

    matches: Sequence[ReceiptMatch | None]
    seen_messages: frozenset[str]
    partitions: int


class Lift(NamedTuple):
    """A suppression to be lifted, if it has this reason and was not requested after `asked_ms`."""

    address: str
    reason: str
    asked_ms: int


class SuppressionChanges(NamedTuple):
    """Suppressions to lift one after the other, then those to add; `unreadable` are the reasons of invalid
    addresses."""

    lifted: list[Lift]
    added: list[Suppression]
    unreadable: list[str]


class FeedbackResult(NamedTuple):
    """The writes of a call: `stored` and the changes it implies, and the changes of inbound messages in order, applied
    before `seen_messages` are stored. `receipts` are (kind, whether it was matched), `words` the keywords in order."""

    stored: StageResult
    changed: SuppressionChanges
    by_words: list[SuppressionChanges]
    seen_messages: list[IdempotencyEntry]
    receipts: list[tuple[str, bool]]
    words: list[str]


def decide(
    account: Account, parsed: Sequence[Receipt | Inbound], facts: FeedbackFacts, digest: bytes, now_ms: int
) -> FeedbackResult:
    """Return the result of one call; `digest` identifies its body. An inbound message that was applied before is left
    out: a START would undo a STOP that came in between. Each counts once, at the time it was sent."""
    receipts = [one for one in parsed if isinstance(one, Receipt)]
    words = [one for one in parsed if isinstance(one, Inbound) and one.event_id not in facts.seen_messages]
    matched = list(zip(receipts, facts.matches, strict=True))
    pairs = [(receipt, match) for receipt, match in matched if match is not None]
    once = [_entry(account, one.event_id, digest, now_ms + RECEIPT_ONCE_MS) for one in receipts if one.once]
    wanted = [(one.suppress, moment_ms(one.at_ms, 1, now_ms)) for one in receipts if one.suppress is not None]
    asked = [word for word in words if word.keyword in ("stop", "start")]
    return FeedbackResult(
        StageResult(frames=list(_frames(account, pairs, facts.partitions, now_ms)), accept_state=AcceptState(once)),
        _suppression_changes(account, wanted, now_ms),
        [_suppression_changes(account, [_wanted_suppression(word, now_ms)], now_ms) for word in asked],
        [_entry(account, word.event_id, b"", now_ms + WORD_ONCE_MS) for word in asked],
        [(receipt.kind, match is not None and match.known) for receipt, match in matched],
        [word.keyword for word in words],
    )


def once_key(account: Account, event_id: str) -> str:
    """Return the idempotency key under which an event is stored."""
    # No key from a request header begins with a control character.
    return f"\x1freceipt:{account.name}:{event_id}"


def _wanted_suppression(word: Inbound, now_ms: int) -> tuple[Suppress, int]:
    return Suppress(word.address, STOP, lift=word.keyword == "start"), moment_ms(word.at_ms, 1, now_ms)


def _suppression_changes(account: Account, wanted: Iterable[tuple[Suppress, int]], now_ms: int) -> SuppressionChanges:
    """Return the suppressions that bounces, complaints and STOPs add, and that STARTs lift, each with the time of its request: calls come in any order, and a lift
    does not undo a later suppression."""
    changed = SuppressionChanges([], [], [])
    for one, asked_ms in wanted:
        address = suppressible(account.channel, one.address)
        if address is None:
            changed.unreadable.append(one.reason)
        elif one.lift:
            changed.lifted.append(Lift(address, one.reason, asked_ms))
        else:
            expires_ms = until_ms(now_ms, one.ttl_ms)
            changed.added.append(Suppression(account.channel, address, one.reason, asked_ms, expires_ms))
    return changed


def _entry(account: Account, event_id: str, digest: bytes, expires_ms: int) -> IdempotencyEntry:
    return IdempotencyEntry(account.tenant, once_key(account, event_id), digest, b"", expires_ms)


def _frames(account: Account, matched: Sequence[Pair], partitions: int, now_ms: int) -> Iterable[Frame]:
    """Yield the frames of `outcomes` with the receipts, for each partition its own."""
    by_partition: dict[int, list[Pair]] = {}
    for pair in matched:
        partition = partition_of(pair[1].delivery_id, pair[1].place, partitions)
        by_partition.setdefault(partition, []).append(pair)
    for partition, pairs in by_partition.items():
        for start in range(0, len(pairs), FRAME_RECORDS_MAX):
            part = pairs[start : start + FRAME_RECORDS_MAX]
            yield Frame(OUTCOMES, partition, len(part), encode(_frame(account, part, now_ms), len(part)))


def _frame(account: Account, pairs: Sequence[Pair], now_ms: int) -> ReceiptFrame:
    return ReceiptFrame(
        channel=account.channel,
        provider=account.name,
        vendor=account.vendor,
        delivery_ids=[match.delivery_id for _, match in pairs],
        tenants=[account.tenant] * len(pairs),
        places=[match.place for _, match in pairs],
        kinds=[receipt.kind for receipt, _ in pairs],
        at_ms=[moment_ms(receipt.at_ms, ids.created_ms(match.delivery_id), now_ms) for receipt, match in pairs],
        details=[receipt.detail[:ATTEMPT_DETAIL_CHARS_MAX] for receipt, _ in pairs],
        user_ids=[match.user_id for _, match in pairs],
        addresses=[match.address for _, match in pairs],
    )

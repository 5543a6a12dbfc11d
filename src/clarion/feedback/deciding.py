"""What the receipts and words of one call come to: frames, what is remembered, and suppressions learned and lifted."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from clarion.domain import ids
from clarion.domain.content import Account
from clarion.domain.limits import ATTEMPT_DETAIL_CHARS_MAX, FRAME_RECORDS_MAX
from clarion.domain.limits_feedback import RECEIPT_ONCE_MS, WORD_ONCE_MS
from clarion.feedback.matching import Match, partition_of
from clarion.feedback.rules.worth import STOP, moment_ms, suppressible, until_ms
from clarion.journal.codec import encode
from clarion.journal.events import ReceiptFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.control_accounts import Suppression
from clarion.ports.receipts import Inbound, Receipt, Suppress
from clarion.ports.stage_store import Admission, IdempotencyEntry, StageResult
from clarion.ports.streams import Frame

Pair: TypeAlias = tuple[Receipt, Match]


class Facts(NamedTuple):
    """The match of each receipt, in their order; the event ids of words that were heeded before; how many partitions
    there are."""

    matches: Sequence[Match | None]
    said: frozenset[str]
    partitions: int


class Lift(NamedTuple):
    """A suppression to be lifted, if it is of this reason and was not wanted after `said_ms`."""

    address: str
    reason: str
    said_ms: int


class Changed(NamedTuple):
    """Suppressions lifted one after the other, then those learned; reasons of addresses that are none."""

    lifted: list[Lift]
    learned: list[Suppression]
    unreadable: list[str]


class Result(NamedTuple):
    """What is stored: `stored` and what it changes, and what the words of people do, in order, each before it is remembered
    in `said`. `receipts` counts (kind, whether it was matched), `words` are told in order."""

    stored: StageResult
    changed: Changed
    by_words: list[Changed]
    said: list[IdempotencyEntry]
    receipts: list[tuple[str, bool]]
    words: list[str]


def decide(account: Account, told: Sequence[Receipt | Inbound], facts: Facts, digest: bytes, now_ms: int) -> Result:
    """Return what one call comes to; `digest` names its body. A word told again, or late, is left out: a START would undo a
    STOP that came in between, so each counts once, and for the time it was said at."""
    receipts = [one for one in told if isinstance(one, Receipt)]
    words = [one for one in told if isinstance(one, Inbound) and one.event_id not in facts.said]
    matched = list(zip(receipts, facts.matches, strict=True))
    pairs = [(receipt, match) for receipt, match in matched if match is not None]
    once = [_entry(account, one.event_id, digest, now_ms + RECEIPT_ONCE_MS) for one in receipts if one.once]
    wanted = [(one.suppress, moment_ms(one.at_ms, 1, now_ms)) for one in receipts if one.suppress is not None]
    asked = [word for word in words if word.word in ("stop", "start")]
    return Result(
        StageResult(frames=list(_frames(account, pairs, facts.partitions, now_ms)), admission=Admission(once)),
        _changed(account, wanted, now_ms),
        [_changed(account, [_asked(word, now_ms)], now_ms) for word in asked],
        [_entry(account, word.event_id, b"", now_ms + WORD_ONCE_MS) for word in asked],
        [(receipt.kind, match is not None and match.known) for receipt, match in matched],
        [word.word for word in words],
    )


def once_key(account: Account, event_id: str) -> str:
    """Return the idempotency key under which an event is remembered for good."""
    # No key that comes in a header begins with a control character.
    return f"\x1freceipt:{account.name}:{event_id}"


def _asked(word: Inbound, now_ms: int) -> tuple[Suppress, int]:
    return Suppress(word.address, STOP, lift=word.word == "start"), moment_ms(word.at_ms, 1, now_ms)


def _changed(account: Account, wanted: Iterable[tuple[Suppress, int]], now_ms: int) -> Changed:
    """Suppress and lift addresses, each with the time it was wanted at: calls come in any order, and what lifts does not
    undo what was wanted later."""
    changed = Changed([], [], [])
    for one, said_ms in wanted:
        address = suppressible(account.channel, one.address)
        if address is None:
            changed.unreadable.append(one.reason)
        elif one.lift:
            changed.lifted.append(Lift(address, one.reason, said_ms))
        else:
            expires_ms = until_ms(now_ms, one.ttl_ms)
            changed.learned.append(Suppression(account.channel, address, one.reason, said_ms, expires_ms))
    return changed


def _entry(account: Account, event_id: str, digest: bytes, expires_ms: int) -> IdempotencyEntry:
    return IdempotencyEntry(account.tenant, once_key(account, event_id), digest, b"", expires_ms)


def _frames(account: Account, matched: Sequence[Pair], partitions: int, now_ms: int) -> Iterable[Frame]:
    """Return the frames of `outcomes` that tell receipts, of each partition its own."""
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

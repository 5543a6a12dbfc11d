"""The oracle: checks a run by evidence alone and shares no code with the product.

Three sources are compared: the client's ledger (acknowledged requests), the provider's receipts (messages that really
arrived) and the product's own account, read twice (through the public API and straight from its store).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from clarion_lab.load.receipts import Receipt

TERMINAL: Final = frozenset({"sent", "delivered", "failed", "dead", "expired", "skipped", "cancelled", "merged"})
CLAIMED: Final = frozenset({"sent", "delivered"})
"""States by which the product reports that the provider has the message."""
EXAMPLES_MAX: Final = 5
_FIGURES: Final = (
    "acked", "lost", "non_terminal", "double_terminal", "false_success", "duplicates", "duplicates_explained",
)  # fmt: skip


class AcknowledgedRequest(msgspec.Struct, frozen=True):
    """A request that the API acknowledged: the notification's 32 hex digits and the number of deliveries it must
    have."""

    notification: str
    deliveries: int


class Account(msgspec.Struct, frozen=True):
    """The product's account of one delivery. `terminal_events` counts its transitions into a terminal state;
    `unsure_attempts` its attempts that may have been sent without a recorded acceptance; `by_provider` is false for
    channels that end inside the product, which no provider can confirm."""

    delivery: str
    state: str
    terminal_events: int
    unsure_attempts: int
    by_provider: bool = True


class Evidence(msgspec.Struct, frozen=True):
    """All evidence of a verdict. `stored` is the state by delivery in the store, `listed` every notification that the
    API lists, `inbox` the in-app deliveries that people can really read (None: not read)."""

    acked: Sequence[AcknowledgedRequest]
    receipts: Sequence[Receipt]
    accounts: Sequence[Account]
    stored: Mapping[str, str]
    listed: Iterable[str]
    inbox: frozenset[str] | None = None


class Verdict(msgspec.Struct, frozen=True):
    """The figures of a run, and a few examples of each fault. `unexpected` counts notifications that were never
    acknowledged and receipts that belong to no delivery; `disagreements` deliveries whose states in API and store
    differ."""

    acked: int
    lost: int
    non_terminal: int
    double_terminal: int
    false_success: int
    duplicates: int
    duplicates_explained: int
    unexpected: int
    disagreements: int
    examples: dict[str, list[str]]

    @property
    def passed(self) -> bool:
        """Return whether there is no fault."""
        faults = (self.lost, self.non_terminal, self.double_terminal, self.false_success)
        return not any((*faults, self.unexpected, self.disagreements)) and self.duplicates == self.duplicates_explained

    def figures(self) -> dict[str, int]:
        """Return the figures for the last line of a run."""
        return {name: getattr(self, name) for name in _FIGURES}


def judge(evidence: Evidence) -> Verdict:
    """Return the verdict on the evidence."""
    accounts = {account.delivery: account for account in evidence.accounts}
    received = Counter(receipt.delivery for receipt in evidence.receipts if receipt.taken)
    extra = {delivery: times - 1 for delivery, times in received.items() if times > 1}
    unexplained = {
        delivery: times - _uncertain_attempts(accounts.get(delivery))
        for delivery, times in extra.items()
        if times > _uncertain_attempts(accounts.get(delivery))
    }
    lost = _lost(evidence.acked, accounts)
    faults = {
        "lost": list(lost),
        "non_terminal": [a.delivery for a in accounts.values() if a.state not in TERMINAL],
        "double_terminal": [a.delivery for a in accounts.values() if a.terminal_events > 1],
        "false_success": [a.delivery for a in accounts.values() if _is_false_success(a, received, evidence.inbox)],
        "unexplained": list(unexplained),
        "unexpected": _unexpected(evidence, received, accounts),
        "disagreements": [a.delivery for a in accounts.values() if evidence.stored.get(a.delivery) != a.state],
    }
    return Verdict(
        acked=len(evidence.acked),
        lost=sum(lost.values()),
        non_terminal=len(faults["non_terminal"]),
        double_terminal=len(faults["double_terminal"]),
        false_success=len(faults["false_success"]),
        duplicates=sum(extra.values()),
        duplicates_explained=sum(extra.values()) - sum(unexplained.values()),
        unexpected=len(faults["unexpected"]),
        disagreements=len(faults["disagreements"]),
        examples={name: found[:EXAMPLES_MAX] for name, found in faults.items() if found},
    )


def _uncertain_attempts(account: Account | None) -> int:
    return account.unsure_attempts if account else 0


def _lost(acked: Sequence[AcknowledgedRequest], accounts: Mapping[str, Account]) -> dict[str, int]:
    """Return the deliveries that are missing, by notification."""
    there = Counter(delivery[:32] for delivery in accounts)
    missing = {item.notification: item.deliveries - there[item.notification] for item in acked}
    return {notification: count for notification, count in missing.items() if count > 0}


def _is_false_success(account: Account, received: Mapping[str, int], inbox: frozenset[str] | None) -> bool:
    if account.state not in CLAIMED:
        return False
    if account.by_provider:
        return not received.get(account.delivery)
    return inbox is not None and account.delivery not in inbox


def _unexpected(evidence: Evidence, received: Iterable[str], accounts: Mapping[str, Account]) -> list[str]:
    known = {item.notification for item in evidence.acked}
    return [item for item in evidence.listed if item not in known] + [item for item in received if item not in accounts]

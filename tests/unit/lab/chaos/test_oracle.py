"""The oracle detects faults: each test changes one record of a clean run and expects that fault, and only it."""

import msgspec
import pytest

from clarion_lab.chaos.oracle import Account, AcknowledgedRequest, Evidence, Verdict, judge
from clarion_lab.load.receipts import Receipt

N = [f"{n:032x}" for n in range(3)]
PUSH = [n + "0" * 16 for n in N]
INAPP = [n + "1" * 16 for n in N]


def receipt(delivery: str, *, taken: bool = True) -> Receipt:
    return Receipt(delivery, "push", 0, taken)


CLEAN = Evidence(
    acked=[AcknowledgedRequest(n, 2) for n in N],
    receipts=[receipt(d) for d in PUSH],
    accounts=[Account(d, "sent", 1, 0) for d in PUSH] + [Account(d, "sent", 1, 0, by_provider=False) for d in INAPP],
    stored=dict.fromkeys(PUSH + INAPP, "sent"),
    listed=N,
    inbox=frozenset(INAPP),
)
NAMES = ("lost", "non_terminal", "double_terminal", "false_success", "duplicates", "unexpected", "disagreements")


def faults(verdict: Verdict) -> dict[str, int]:
    return {name: getattr(verdict, name) for name in NAMES if getattr(verdict, name)}


def doctor(**changes: object) -> Verdict:
    return judge(msgspec.structs.replace(CLEAN, **changes))


def account(delivery: str, state: str = "sent", **changes: object) -> list[Account]:
    """Return the accounts with one of them changed, as the product would report it."""
    return [msgspec.structs.replace(a, state=state, **changes) if a.delivery == delivery else a for a in CLEAN.accounts]


def evidence_of(delivery: str, state: str) -> dict[str, object]:
    return {"accounts": account(delivery, state), "stored": {**CLEAN.stored, delivery: state}}


def test_a_clean_run_passes() -> None:
    verdict = judge(CLEAN)
    assert verdict.passed
    assert (verdict.acked, faults(verdict)) == (3, {})


def test_a_delivery_without_any_row_is_lost() -> None:
    rest = [a for a in CLEAN.accounts if a.delivery != INAPP[1]]
    verdict = doctor(accounts=rest)
    assert faults(verdict) == {"lost": 1}
    assert verdict.examples["lost"] == [N[1]]


def test_a_notification_that_vanished_loses_all_its_deliveries() -> None:
    rest = [a for a in CLEAN.accounts if not a.delivery.startswith(N[0])]
    verdict = doctor(accounts=rest, receipts=CLEAN.receipts[1:])
    assert faults(verdict) == {"lost": 2}


@pytest.mark.parametrize("state", ["planned", "sending", "retrying", "ambiguous"])
def test_an_open_state_after_the_drain_is_non_terminal(state: str) -> None:
    assert faults(doctor(**evidence_of(PUSH[0], state))) == {"non_terminal": 1}


@pytest.mark.parametrize("state", ["failed", "dead", "skipped", "cancelled", "expired"])
def test_an_end_without_success_is_not_a_fault(state: str) -> None:
    assert doctor(**evidence_of(PUSH[0], state)).passed


def test_two_ends_of_one_delivery_are_seen() -> None:
    assert faults(doctor(accounts=account(PUSH[2], terminal_events=2))) == {"double_terminal": 1}


def test_success_without_a_receipt_is_false() -> None:
    assert faults(doctor(receipts=CLEAN.receipts[1:])) == {"false_success": 1}


def test_success_on_a_refused_call_is_false() -> None:
    receipts = [receipt(PUSH[0], taken=False), *CLEAN.receipts[1:]]
    assert faults(doctor(receipts=receipts)) == {"false_success": 1}


def test_an_inapp_success_without_an_inbox_item_is_false() -> None:
    assert faults(doctor(inbox=frozenset(INAPP[1:]))) == {"false_success": 1}


def test_refused_calls_are_no_duplicates() -> None:
    assert doctor(receipts=[*CLEAN.receipts, receipt(PUSH[0], taken=False)]).passed


@pytest.mark.parametrize(("unsure", "explained"), [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_duplicates_are_explained_by_unsure_attempts_only(unsure: int, explained: int) -> None:
    receipts = [*CLEAN.receipts, receipt(PUSH[0]), receipt(PUSH[0])]
    verdict = doctor(receipts=receipts, accounts=account(PUSH[0], unsure_attempts=unsure))
    assert (verdict.duplicates, verdict.duplicates_explained) == (2, explained)
    assert verdict.passed is (explained == 2)


def test_unsure_attempts_of_one_delivery_do_not_explain_anothers_duplicate() -> None:
    receipts = [*CLEAN.receipts, receipt(PUSH[0])]
    verdict = doctor(receipts=receipts, accounts=account(PUSH[1], unsure_attempts=5))
    assert (verdict.duplicates, verdict.duplicates_explained) == (1, 0)


def test_an_unacknowledged_notification_is_unexpected() -> None:
    assert faults(doctor(listed=[*N, "f" * 32])) == {"unexpected": 1}


def test_a_receipt_of_no_delivery_is_unexpected() -> None:
    assert faults(doctor(receipts=[*CLEAN.receipts, receipt("f" * 48)])) == {"unexpected": 1}


@pytest.mark.parametrize("stored", [{}, {"state": "dead"}])
def test_api_and_store_have_to_agree(stored: dict[str, str]) -> None:
    rest = {d: state for d, state in CLEAN.stored.items() if d != PUSH[0]}
    told_by_store = {PUSH[0]: stored["state"]} if stored else {}
    assert faults(doctor(stored=rest | told_by_store)) == {"disagreements": 1}

from typing import Any

import pytest

from clarion_lab.chaos.observe import account_of, accounts_of, without_prefix
from clarion_lab.chaos.oracle import Account

ID = "dlv_" + "a" * 48


def delivery(*attempts: tuple[str | None, int], channel: str = "push") -> dict[str, Any]:
    reported = [{"outcome": outcome, "repeated": repeated} for outcome, repeated in attempts]
    return {"id": ID, "channel": channel, "state": "sent", "attempts": reported}


def test_public_ids_lose_their_prefix() -> None:
    assert without_prefix(ID) == "a" * 48


@pytest.mark.parametrize(
    ("attempts", "unsure"),
    [([("accepted", 0)], 0), ([("ambiguous", 0), ("accepted", 1)], 2), ([("transient", 2), (None, 1)], 3)],
)
def test_unsure_attempts_are_repeats_and_those_without_an_answer(
    attempts: list[tuple[str | None, int]], unsure: int
) -> None:
    assert account_of(delivery(*attempts)) == Account("a" * 48, "sent", 0, unsure)


def test_inapp_has_no_provider_to_ask() -> None:
    assert not account_of(delivery(channel="inapp")).by_provider


def test_ends_are_counted_in_the_timeline_and_late_ones_are_none() -> None:
    events = ("planned", "retry", "accepted", "late_accepted", "exhausted")
    timeline = [{"delivery_id": ID, "event": event} for event in events]
    (account,) = accounts_of({"deliveries": [delivery(("accepted", 0))], "timeline": timeline})
    assert account.terminal_events == 2

"""A process writes at intervals that a user was seen."""

import pytest

from clarion.domain import last_seen
from clarion.domain.last_seen import LastSeen
from clarion.domain.limits_processes import SEEN_EVERY_MS


def test_a_user_is_due_once_in_each_interval():
    seen, now_ms = LastSeen(), 5
    assert seen.is_due("acme", "ana", now_ms)
    assert not seen.is_due("acme", "ana", now_ms + SEEN_EVERY_MS - 1)
    assert seen.is_due("other", "ana", now_ms)
    assert seen.is_due("acme", "ana", now_ms + SEEN_EVERY_MS)
    assert not seen.is_due("acme", "ana", now_ms + SEEN_EVERY_MS + 1)


@pytest.mark.parametrize(("known", "is_due"), [(2, False), (3, True)])
def test_the_users_it_keeps_are_bounded(known, is_due, monkeypatch):
    monkeypatch.setattr(last_seen, "SEEN_USERS_MAX", 2)
    seen = LastSeen()
    for number in range(known):
        seen.is_due("acme", f"user-{number}", 1)
    assert seen.is_due("acme", "user-0", 1) == is_due

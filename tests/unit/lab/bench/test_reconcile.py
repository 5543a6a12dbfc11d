import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion_lab.bench.reconcile import Balance, balance, notification_of, percentile_ms

A, B = "a" * 32, "b" * 32
STATES = {f"ntf_{A}": ["sent"], f"ntf_{B}": ["delivered"]}


def delivery(notification: str, n: int = 0) -> str:
    return f"dlv_{notification}{n:016x}"


def test_ids_name_their_notification() -> None:
    assert notification_of(delivery(A)) == notification_of(f"ntf_{A}") == A


def test_everything_received_and_sent_is_clean() -> None:
    found = balance(STATES, [delivery(A), delivery(B)], STATES)
    assert found.clean
    assert found.duplicates == 0


def test_a_delivery_the_provider_never_got_is_lost() -> None:
    assert balance(STATES, [delivery(A)], STATES).lost == 1


def test_a_notification_unknown_to_the_api_is_lost() -> None:
    assert balance(STATES, None, {f"ntf_{A}": ["sent"], f"ntf_{B}": []}).lost == 1


def test_a_second_call_for_a_delivery_is_a_duplicate_and_another_delivery_is_not() -> None:
    calls = [delivery(A), delivery(A), delivery(A, 1), delivery(B)]
    assert balance(STATES, calls, STATES).duplicates == 1


@pytest.mark.parametrize(("state", "field"), [("retrying", "unfinished"), ("dead", "failed"), ("skipped", "failed")])
def test_any_unsent_delivery_is_not_clean(state: str, field: str) -> None:
    found = balance(STATES, None, STATES | {f"ntf_{A}": [state]})
    assert getattr(found, field) == 1
    assert not found.clean


@given(st.lists(st.integers(0, 10**12), min_size=1), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_a_sample_that_its_share_does_not_exceed(samples: list[int], share: float) -> None:
    found = percentile_ms(samples, share)
    assert found in {round(sample / 1e6, 2) for sample in samples}
    assert sum(round(sample / 1e6, 2) <= found for sample in samples) >= share * len(samples)


def test_no_samples_have_no_percentile() -> None:
    assert percentile_ms([], 0.5) is None


def test_messages_without_a_known_id_are_counted() -> None:
    found = balance(STATES, ["key of one", "key of another"], STATES, named=False)
    assert found.clean
    assert found.duplicates == 0
    assert balance(STATES, ["key of one", "key of one"], STATES, named=False) == Balance(1, 1, 0, 0)

"""The oracle of instances detects faults: each test changes one record of a clean run and expects exactly that fault."""

import msgspec
import pytest

from clarion_lab.chaos import oracle
from clarion_lab.chaos.instances import Evidence, ExpectedInstance, InstanceReport, Reaction, Verdict, judge
from clarion_lab.chaos.phone import Message

FINE = oracle.Verdict(6, 0, 0, 0, 0, 0, 0, 0, 0, {})
UNTIL_MS = 12_000
WORKFLOWS = ("delay_1", "digest_fixed", "digest_fixed", "answer", "answer", "look", "look")
DELAY, FIRST, SECOND, ANSWERED, UNANSWERED, SEEN, UNSEEN = (f"{number:032x}" for number in range(7))


def wanted(number: int) -> ExpectedInstance:
    workflow = WORKFLOWS[number]
    return ExpectedInstance(f"{number:032x}", "u", workflow.partition("_")[0], workflow, number, "t")


def message(notification: str, step: str, *items: int, delivery: str = "", user: str = "u") -> Message:
    number = int(notification, 16)
    delivery = delivery or notification + step.encode().hex()[:16].ljust(16, "0")
    return Message(delivery, user, step, WORKFLOWS[number], number, "t", items)


def reaction(notification: str, at_ms: int = UNTIL_MS - 1) -> Reaction:
    return Reaction(message(notification, "ask").delivery, at_ms)


CLEAN = Evidence(
    wanted=[wanted(number) for number in range(7)],
    tales=[
        InstanceReport(f"{number:032x}", "u", 1, waited_until_ms=UNTIL_MS if workflow in ("answer", "look") else None)
        for number, workflow in enumerate(WORKFLOWS)
    ],
    messages=[
        message(DELAY, "first"),
        message(DELAY, "second"),
        message(FIRST, "digest", 1, 2),
        message(ANSWERED, "ask"),
        message(ANSWERED, "thanks"),
        message(UNANSWERED, "ask"),
        message(UNANSWERED, "missed"),
        message(SEEN, "ask"),
        message(UNSEEN, "ask"),
        message(UNSEEN, "again"),
    ],
    reactions=[reaction(ANSWERED), reaction(SEEN)],
    open_cells=(),
    deliveries=FINE,
)


def faults(verdict: Verdict) -> tuple[int, int, int]:
    return verdict.unended, verdict.lost, verdict.repeated


def doctor(**changes: object) -> tuple[int, int, int]:
    return faults(judge(msgspec.structs.replace(CLEAN, **changes)))


def without(notification: str, step: str) -> list[Message]:
    return [one for one in CLEAN.messages if (one.notification, one.step) != (notification, step)]


def reports(notification: str, **changes: object) -> list[InstanceReport]:
    return [msgspec.structs.replace(one, **changes) if one.notification == notification else one for one in CLEAN.tales]


def test_a_clean_run_passes() -> None:
    verdict = judge(CLEAN)
    assert verdict.passed
    assert verdict.figures() == {"instances": 7, "unended": 0, "lost": 0, "repeated": 0}
    assert verdict.examples == {}


@pytest.mark.parametrize("changes", [{"endings": 0}, {"endings": 2}, {"afterwards": 1}])
def test_an_instance_has_to_end_once_and_for_all(changes: dict[str, int]) -> None:
    assert doctor(tales=reports(DELAY, **changes)) == (1, 0, 0)


def test_an_unknown_instance_has_not_ended() -> None:
    assert doctor(tales=CLEAN.tales[1:]) == (1, 0, 0)


def test_two_instances_of_one_recipient_are_no_end() -> None:
    assert doctor(tales=[*CLEAN.tales, CLEAN.tales[0]]) == (1, 0, 0)


def test_an_instance_still_stored_has_not_ended() -> None:
    assert doctor(open_cells=[DELAY]) == (1, 0, 0)
    assert doctor(open_cells=[DELAY], tales=reports(DELAY, endings=0)) == (1, 0, 0), "that is the same fault"


def test_an_unrequested_instance_is_a_fault() -> None:
    assert doctor(tales=[*CLEAN.tales, InstanceReport("f" * 32, "u", 1)]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("notification", "step"),
    [(DELAY, "first"), (DELAY, "second"), (ANSWERED, "thanks"), (UNANSWERED, "missed"), (UNSEEN, "again")],
)
def test_a_message_that_never_came_is_lost(notification: str, step: str) -> None:
    assert doctor(messages=without(notification, step)) == (0, 1, 0)


def test_the_same_message_under_two_deliveries_was_sent_twice() -> None:
    again = message(DELAY, "first", delivery=DELAY + "e" * 16)
    assert doctor(messages=[*CLEAN.messages, again]) == (0, 0, 1)


def test_a_delivery_that_arrived_twice_is_for_the_other_oracle_to_judge() -> None:
    assert doctor(messages=[*CLEAN.messages, *CLEAN.messages]) == (0, 0, 0)
    assert doctor(deliveries=msgspec.structs.replace(FINE, duplicates=2, duplicates_explained=1)) == (0, 0, 1)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("lost", (0, 2, 0)), ("non_terminal", (0, 2, 0)), ("false_success", (0, 2, 0)), ("disagreements", (0, 2, 0)),
        ("double_terminal", (0, 0, 2)), ("unexpected", (0, 0, 2)),
    ],
)  # fmt: skip
def test_faults_of_deliveries_count(fault: str, expected: tuple[int, int, int]) -> None:
    deliveries = msgspec.structs.replace(FINE, **{fault: 2}, examples={fault: ["a delivery"]})
    assert doctor(deliveries=deliveries) == expected


def test_an_event_in_no_digest_is_lost() -> None:
    assert doctor(messages=[*without(FIRST, "digest"), message(FIRST, "digest", 1)]) == (0, 1, 0)


def test_an_event_in_two_digests_is_repeated() -> None:
    assert doctor(messages=[*CLEAN.messages, message(SECOND, "digest", 2)]) == (0, 0, 1)


def test_an_event_twice_in_one_digest_is_repeated() -> None:
    assert doctor(messages=[*without(FIRST, "digest"), message(FIRST, "digest", 1, 2, 2)]) == (0, 0, 1)


def test_a_digest_with_other_contents_the_second_time_repeats() -> None:
    assert doctor(messages=[*CLEAN.messages, message(FIRST, "digest", 1)]) == (0, 0, 1)


def test_an_event_in_the_digest_of_another_user_is_lost_and_repeated() -> None:
    mixed = [message(FIRST, "digest", 1), message(SECOND, "digest", 2, user="v")]
    assert doctor(messages=[*without(FIRST, "digest"), *mixed]) == (0, 1, 1)


def test_a_reaction_in_time_has_to_count() -> None:
    ran_out = [*without(ANSWERED, "thanks"), message(ANSWERED, "missed")]
    assert doctor(messages=ran_out) == (0, 1, 1)
    assert doctor(messages=[*CLEAN.messages, message(SEEN, "again")]) == (0, 0, 1)


@pytest.mark.parametrize("step", ["thanks", "missed"])
def test_a_reaction_acknowledged_late_may_have_come_in_time_or_not(step: str) -> None:
    late = [reaction(ANSWERED, UNTIL_MS), reaction(SEEN)]
    assert doctor(messages=[*without(ANSWERED, "thanks"), message(ANSWERED, step)], reactions=late) == (0, 0, 0)


def test_late_or_not_it_is_one_of_both() -> None:
    late = [reaction(ANSWERED, UNTIL_MS), reaction(SEEN)]
    assert doctor(messages=[*CLEAN.messages, message(ANSWERED, "missed")], reactions=late) == (0, 0, 1)
    assert doctor(messages=without(ANSWERED, "thanks"), reactions=late) == (0, 1, 0)


def test_a_thank_you_without_a_reaction_is_a_fault() -> None:
    assert doctor(reactions=[reaction(SEEN)]) == (0, 1, 1)

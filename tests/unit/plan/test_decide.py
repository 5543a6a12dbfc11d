"""Decisions on who is sent what on which channel and address, when, and why not: properties for any facts."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clarion.domain.channel import CHANNELS
from clarion.domain.decision import Hold, Merge, Reason, Send, Skip
from clarion.plan.rules import profile_rules
from clarion.plan.rules.decide import addresses_of, decide
from clarion.plan.rules.explain import ROUTED_TO_ANOTHER, explain, strongest_verdict
from clarion.plan.rules.profile_rules import gate, stronger
from tests.unit.plan.strategies import DAY_MS, NOW_MS, Times, arrivals, profiles, request_facts, suppressions, users


def planned(request_facts, profile, user, suppressed, room):
    return decide(request_facts, user, gate(request_facts, profile, NOW_MS), suppressed, Times(room), NOW_MS).planned


def going_out(found):
    return {(one.channel, one.address) for one in found if isinstance(one.decision, Send | Hold | Merge)}


@given(request_facts(), profiles, users, suppressions, arrivals)
def test_no_address_is_decided_on_twice_and_only_permitted_messages_are_sent(
    request_facts, profile, user, suppressed, room
):
    found = planned(request_facts, profile, user, suppressed, room)
    assert len({(one.channel, one.address) for one in found}) == len(found)
    if request_facts.route is None:
        assert {one.channel for one in found} == set(request_facts.channels)
    for one in found:
        if isinstance(one.decision, Skip):
            assert one.decision.reason != Reason.NONE
            continue
        assert one.address in addresses_of(user, one.channel)
        assert one.channel in request_facts.sendable
        assert one.channel in request_facts.template.parts
        assert (one.channel, one.address) not in suppressed
        if isinstance(one.decision, Send):
            assert one.decision.address == one.address
        elif isinstance(one.decision, Hold):
            assert NOW_MS < one.decision.until_ms <= NOW_MS + request_facts.hold_max_ms


@given(request_facts(with_route=False), profiles, users, suppressions, arrivals, st.data())
def test_one_more_denial_never_adds_a_send(request_facts, profile, user, suppressed, room, data):
    channel = data.draw(st.sampled_from(CHANNELS))
    address = data.draw(st.sampled_from(["one", "two", "t1", "t2"]))
    key = data.draw(st.sampled_from([request_facts.category.key, "*"]))
    row = {**profile.preferences.get(key, {}), data.draw(st.sampled_from([channel, "*"])): False}
    denied = replace(profile, preferences={**profile.preferences, key: row})
    unsendable = replace(request_facts, sendable=request_facts.sendable - {channel})
    barred = {**suppressed, (channel, address): "complained"}

    def outcomes(caps):
        return [
            going_out(planned(replace(one, caps=caps), identity, user, dead, {}))
            for one, identity, dead in (
                (request_facts, profile, suppressed),
                (request_facts, profile, barred),
                (unsendable, profile, suppressed),
                (request_facts, denied, suppressed),
            )
        ]

    roomy, *worse = outcomes(())
    assert all(after <= roomy for after in worse)
    assert going_out(planned(request_facts, profile, user, suppressed, room)) <= roomy, (
        "a cap that is full adds nothing"
    )
    # Room that one channel leaves in a shared cap, another may take: not more channels, but different ones.
    before, *after = [{channel for channel, _ in found} for found in outcomes(request_facts.caps)]
    assert all(len(found) <= len(before) for found in after)


@given(request_facts(), profiles)
def test_the_order_of_rules_does_not_matter(request_facts, profile):
    for channel in request_facts.channels:
        said = [rule(request_facts, profile, channel, NOW_MS).verdict for _, rule in profile_rules.PROFILE_RULES]
        ends = []
        for order in permutations(said):
            verdict = None
            for one in order:
                verdict = stronger(verdict, one)
            ends.append(verdict)
        assert all(end == ends[0] for end in ends)


@given(request_facts(), profiles, users, suppressions, arrivals)
def test_an_explanation_matches_planning(request_facts, profile, user, suppressed, room):
    found = planned(request_facts, profile, user, suppressed, room)
    result = explain(request_facts, profile, user, suppressed, Times(room), NOW_MS)
    assert [one.channel for one in result] == list(request_facts.channels)
    shown = {(one.channel, one.address): one.decision for part in result for one in part.planned}
    reached = {key: decision for key, decision in shown.items() if decision is not ROUTED_TO_ANOTHER}
    assert reached == {(one.channel, one.address): one.decision for one in found}
    for part in result:
        assert part.planned or part.detail, "a channel that is not planned says when it would be"


@given(request_facts(with_route=False), profiles, users, suppressions, st.data())
def test_the_findings_of_the_rules_are_the_decision(request_facts, profile, user, suppressed, data):
    """One channel at a time: what is sent on one channel counts for the caps of the next."""
    request_facts = replace(request_facts, channels=(data.draw(st.sampled_from(request_facts.channels)),))
    room = data.draw(arrivals)
    (result,) = explain(request_facts, profile, user, suppressed, Times(room), NOW_MS)
    expected = strongest_verdict(result.findings, request_facts, NOW_MS)
    decisions = {type(one.decision) for one in result.planned}
    if expected is None:
        assert Send in decisions
        assert decisions <= {Send, Skip}
    else:
        assert expected in [one.decision for one in result.planned]


@given(request_facts(), profiles, users, suppressions, arrivals)
def test_a_critical_category_is_never_opted_out_of_held_or_capped(request_facts, profile, user, suppressed, room):
    request_facts = replace(request_facts, category=replace(request_facts.category, critical=True), caps=())
    for one in planned(request_facts, profile, user, suppressed, room):
        assert not isinstance(one.decision, Hold | Merge)
        assert not isinstance(one.decision, Skip) or one.decision.reason not in (Reason.OPTED_OUT, Reason.CAPPED)


@given(request_facts(), profiles, users, suppressions, arrivals)
def test_only_sent_messages_count_for_caps(request_facts, profile, user, suppressed, room):
    times = Times(room)
    found = decide(request_facts, user, gate(request_facts, profile, NOW_MS), suppressed, times, NOW_MS).planned
    if not any(isinstance(one.decision, Send) for one in found):
        assert times.arrival_s == room


@given(request_facts(), profiles)
def test_a_verdict_holds_until_its_expiry(request_facts, profile):
    first = gate(request_facts, profile, NOW_MS)
    assert first.valid_until_ms > NOW_MS
    later_ms = min(first.valid_until_ms - 1, NOW_MS + 30 * DAY_MS)
    for channel, verdict in gate(request_facts, profile, later_ms).verdicts.items():
        # Endless quiet hours are evaluated again after some days, counted from each evaluation.
        endless = isinstance(verdict, Hold) and verdict.until_ms - later_ms > 7 * DAY_MS
        assert verdict == first.verdicts[channel] or (endless and isinstance(first.verdicts[channel], Hold))

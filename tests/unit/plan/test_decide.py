"""Who is sent what on which channel and address, when, and why not: what holds whatever the facts are."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clarion.domain.channel import CHANNELS
from clarion.domain.decision import Hold, Merge, Reason, Send, Skip
from clarion.plan.rules import group
from clarion.plan.rules.decide import addresses_of, decide
from clarion.plan.rules.explain import ELSEWHERE, explain, strongest
from clarion.plan.rules.group import gate, stronger
from tests.unit.plan.strategies import DAY_MS, NOW_MS, Times, arrivals, profiles, settings, suppressions, users


def planned(setting, profile, user, suppressed, room):
    return decide(setting, user, gate(setting, profile, NOW_MS), suppressed, Times(room), NOW_MS).planned


def going_out(found):
    return {(one.channel, one.address) for one in found if isinstance(one.decision, Send | Hold | Merge)}


@given(settings(), profiles, users, suppressions, arrivals)
def test_no_address_is_decided_on_twice_and_what_is_sent_may_be_sent(setting, profile, user, suppressed, room):
    found = planned(setting, profile, user, suppressed, room)
    assert len({(one.channel, one.address) for one in found}) == len(found)
    if setting.route is None:
        assert {one.channel for one in found} == set(setting.channels)
    for one in found:
        if isinstance(one.decision, Skip):
            assert one.decision.reason != Reason.NONE
            continue
        assert one.address in addresses_of(user, one.channel)
        assert one.channel in setting.sendable
        assert one.channel in setting.template.parts
        assert (one.channel, one.address) not in suppressed
        if isinstance(one.decision, Send):
            assert one.decision.address == one.address
        elif isinstance(one.decision, Hold):
            assert NOW_MS < one.decision.until_ms <= NOW_MS + setting.hold_max_ms


@given(settings(with_route=False), profiles, users, suppressions, arrivals, st.data())
def test_one_more_denial_never_adds_a_send(setting, profile, user, suppressed, room, data):
    channel = data.draw(st.sampled_from(CHANNELS))
    address = data.draw(st.sampled_from(["one", "two", "t1", "t2"]))
    key = data.draw(st.sampled_from([setting.category.key, "*"]))
    row = {**profile.preferences.get(key, {}), data.draw(st.sampled_from([channel, "*"])): False}
    denied = replace(profile, preferences={**profile.preferences, key: row})
    unsendable = replace(setting, sendable=setting.sendable - {channel})
    barred = {**suppressed, (channel, address): "complained"}

    def outcomes(caps):
        return [
            going_out(planned(replace(one, caps=caps), who, user, dead, {}))
            for one, who, dead in (
                (setting, profile, suppressed),
                (setting, profile, barred),
                (unsendable, profile, suppressed),
                (setting, denied, suppressed),
            )
        ]

    roomy, *worse = outcomes(())
    assert all(after <= roomy for after in worse)
    assert going_out(planned(setting, profile, user, suppressed, room)) <= roomy, "a cap that is full adds nothing"
    # What one channel leaves of a cap that counts them all together, another may take: no more of them, but others.
    before, *after = [{channel for channel, _ in found} for found in outcomes(setting.caps)]
    assert all(len(found) <= len(before) for found in after)


@given(settings(), profiles)
def test_the_order_of_rules_does_not_matter(setting, profile):
    for channel in setting.channels:
        said = [rule(setting, profile, channel, NOW_MS).verdict for _, rule in group.GROUP_RULES]
        ends = []
        for order in permutations(said):
            verdict = None
            for one in order:
                verdict = stronger(verdict, one)
            ends.append(verdict)
        assert all(end == ends[0] for end in ends)


@given(settings(), profiles, users, suppressions, arrivals)
def test_an_explanation_says_what_planning_does(setting, profile, user, suppressed, room):
    found = planned(setting, profile, user, suppressed, room)
    told = explain(setting, profile, user, suppressed, Times(room), NOW_MS)
    assert [one.channel for one in told] == list(setting.channels)
    shown = {(one.channel, one.address): one.decision for part in told for one in part.planned}
    reached = {key: decision for key, decision in shown.items() if decision is not ELSEWHERE}
    assert reached == {(one.channel, one.address): one.decision for one in found}
    for part in told:
        assert part.planned or part.detail, "a channel that is not planned says when it would be"


@given(settings(with_route=False), profiles, users, suppressions, st.data())
def test_the_findings_of_the_rules_are_the_decision(setting, profile, user, suppressed, data):
    """One channel at a time: what is sent on one channel counts for the caps of the next."""
    setting = replace(setting, channels=(data.draw(st.sampled_from(setting.channels)),))
    room = data.draw(arrivals)
    (told,) = explain(setting, profile, user, suppressed, Times(room), NOW_MS)
    expected = strongest(told.findings, setting, NOW_MS)
    decisions = {type(one.decision) for one in told.planned}
    if expected is None:
        assert Send in decisions
        assert decisions <= {Send, Skip}
    else:
        assert expected in [one.decision for one in told.planned]


@given(settings(), profiles, users, suppressions, arrivals)
def test_a_critical_category_is_never_opted_out_of_held_or_capped(setting, profile, user, suppressed, room):
    setting = replace(setting, category=replace(setting.category, critical=True), caps=())
    for one in planned(setting, profile, user, suppressed, room):
        assert not isinstance(one.decision, Hold | Merge)
        assert not isinstance(one.decision, Skip) or one.decision.reason not in (Reason.OPTED_OUT, Reason.CAPPED)


@given(settings(), profiles, users, suppressions, arrivals)
def test_only_what_is_sent_is_counted_by_its_caps(setting, profile, user, suppressed, room):
    times = Times(room)
    found = decide(setting, user, gate(setting, profile, NOW_MS), suppressed, times, NOW_MS).planned
    if not any(isinstance(one.decision, Send) for one in found):
        assert times.arrival_s == room


@given(settings(), profiles)
def test_a_verdict_holds_until_it_says(setting, profile):
    first = gate(setting, profile, NOW_MS)
    assert first.valid_until_ms > NOW_MS
    later_ms = min(first.valid_until_ms - 1, NOW_MS + 30 * DAY_MS)
    for channel, verdict in gate(setting, profile, later_ms).verdicts.items():
        # Who is quiet without end is asked about again after some days, counted from each question.
        endless = isinstance(verdict, Hold) and verdict.until_ms - later_ms > 7 * DAY_MS
        assert verdict == first.verdicts[channel] or (endless and isinstance(first.verdicts[channel], Hold))

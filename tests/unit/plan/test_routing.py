"""Routes: all of their members, or the first that can be sent, and how they continue."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason, Send, Skip
from clarion.domain.route import Route, channels_of
from clarion.plan.rules.request_facts import Planned
from clarion.plan.rules.routing import able, follow
from tests.unit.plan.strategies import route

PUSH, SMS, EMAIL, INAPP = Channel.PUSH, Channel.SMS, Channel.EMAIL, Channel.INAPP


class People:
    """A recipient who can be reached on some channels; `asked` are the channels that were planned."""

    def __init__(self, *reachable):
        self.reachable = reachable
        self.asked = []

    def __call__(self, channel):
        self.asked.append(channel)
        sends = channel in self.reachable
        return [Planned(channel, "x" if sends else "", Send("x") if sends else Skip(Reason.NO_CONTACT))]


def fates(routed):
    return {one.channel: "send" if isinstance(one.decision, Send) else one.decision.reason for one in routed.planned}


def test_the_first_that_can_be_sent_is_the_only_one():
    someone = People(SMS, EMAIL)
    routed = follow(Route(first=(PUSH, SMS, EMAIL)), someone)
    assert fates(routed) == {PUSH: Reason.NO_CONTACT, SMS: "send"}
    assert someone.asked == [PUSH, SMS], "a channel that the route does not reach is not planned: caps would count it"
    assert not routed.fallbacks


def test_a_waiting_route_continues_with_the_rest():
    routed = follow(Route(first=(PUSH, SMS, EMAIL), until="seen", within="2m"), People(PUSH, SMS, EMAIL))
    assert fates(routed) == {PUSH: "send"}
    (behind,) = routed.fallbacks
    assert (behind.channels, behind.until, behind.within_ms) == ((PUSH,), "seen", 120_000)
    assert behind.rest == Route(first=(SMS, EMAIL), until="seen", within="2m")


def test_the_last_member_has_no_successor():
    routed = follow(Route(first=(PUSH, SMS), until="sent"), People(SMS))
    assert fates(routed) == {PUSH: Reason.NO_CONTACT, SMS: "send"}
    assert not routed.fallbacks


def test_all_and_first_nest():
    nested = Route(first=(Route(all=(PUSH, EMAIL)), SMS), until="sent")
    routed = follow(nested, People(PUSH, EMAIL, SMS))
    assert fates(routed) == {PUSH: "send", EMAIL: "send"}
    (behind,) = routed.fallbacks
    assert behind.channels == (PUSH, EMAIL)
    both = follow(Route(all=(INAPP, Route(first=(PUSH, SMS)))), People(INAPP, SMS))
    assert fates(both) == {INAPP: "send", PUSH: Reason.NO_CONTACT, SMS: "send"}


@given(route, st.sets(st.sampled_from([PUSH, SMS, EMAIL, Channel.WEBPUSH])))
def test_someone_who_can_be_reached_is_reached(given_route, reachable):
    routed = follow(given_route, People(*reachable))
    assert able(routed.planned) == bool(reachable & set(channels_of(given_route)))
    assert len({one.channel for one in routed.planned}) == len(routed.planned)
    for behind in routed.fallbacks:
        assert not set(channels_of(behind.rest)) & {one.channel for one in routed.planned}

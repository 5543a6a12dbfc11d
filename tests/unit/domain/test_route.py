"""Routes as tenants write them: what is refused, and where the fault is."""

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits import ROUTE_DEPTH_MAX, ROUTE_MEMBERS_MAX
from clarion.domain.route import Route, channels_of, check_route


def read(body):
    return msgspec.convert(body, Route)


def nested(depth):
    return {"all": ["push"] if depth == 1 else [nested(depth - 1)]}


@pytest.mark.parametrize(
    "body",
    [
        {"all": ["push", "email"]},
        {"first": ["inapp", "sms"]},
        {"first": ["push", "sms"], "until": "seen", "within": "2m"},
        {"first": [{"all": ["inapp", "push"]}, "sms"], "until": "sent"},
        nested(ROUTE_DEPTH_MAX),
        {"all": list(Channel)[:ROUTE_MEMBERS_MAX]},
    ],
)
def test_a_good_route_passes(body):
    check_route(read(body), "route")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "route"),
        ({"all": ["push"], "first": ["sms"]}, "route"),
        ({"first": ["push", {"all": []}]}, "route.first[1]"),
        (nested(ROUTE_DEPTH_MAX + 1), "route" + ".all[0]" * ROUTE_DEPTH_MAX),
        ({"first": ["push", "push"]}, "route.first[1]"),
        ({"all": ["push", {"first": ["sms", "push"]}]}, "route.all[1].first[1]"),
        ({"all": [{"all": [channel]} for channel in [*Channel, "push"]]}, "route.all"),
        ({"first": ["push", "sms"], "until": "seen"}, "route.within"),
        ({"first": ["push", {"first": ["sms", "email"], "until": "delivered"}]}, "route.first[1].within"),
        ({"first": ["push", "sms"], "within": "2m"}, "route.within"),
        ({"first": ["push", "sms"], "until": "sent", "within": "soon"}, "route.within"),
        ({"first": ["push", "sms"], "until": "sent", "within": "53w"}, "route.within"),
        ({"all": ["push", "sms"], "until": "seen", "within": "2m"}, "route.until"),
    ],
)
def test_a_fault_is_named_by_its_place(body, field):
    with pytest.raises(InvalidField) as refused:
        check_route(read(body), "route")
    assert refused.value.field == field


def test_a_channel_is_named_once_in_the_order_of_the_route():
    route = read({"first": ["push", {"all": ["sms", "email"]}]})
    assert channels_of(route) == (Channel.PUSH, Channel.SMS, Channel.EMAIL)
    assert channels_of(Channel.SMS) == (Channel.SMS,)

"""Any history of a tenant on every backend: all of them return, refuse and read the same."""

import asyncio
from itertools import count
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clarion.domain.channel import Channel, Lane
from clarion.domain.content import Category
from clarion.domain.errors import ClarionError
from clarion.domain.segment import Filter
from clarion.domain.user import Device, UserWrite
from clarion.ports.control_accounts import ProviderWrite, Suppression
from tests import lookups
from tests.contract.backends import CONTROLS, ENGINES
from tests.contract.controls import ControlPlane, migrated
from tests.registries import categories_of, definitions_of

IDS, TOPICS, KEYS = ("ana", "bo", "Bo", "ü|1"), ("news", "rides"), ("a", "b")
ADDRESSES = ("Ana@example.com", "ana@example.com", "+12025550143")
COLUMNS = ("email", "phone", "whatsapp", "chat", "webhook", "devices", "attributes", "more_contacts")
FILTERS = (
    Filter(topic="news"),
    Filter(reachable=Channel.PUSH),
    Filter(reachable=Channel.WHATSAPP),
    Filter(attribute="plan", is_="pro"),
    Filter(not_=Filter(seen_within="1h")),
)
NEVER_MS = 10**15

ids, topics, keys = st.sampled_from(IDS), st.sampled_from(TOPICS), st.sampled_from(KEYS)
devices = st.builds(Device, st.sampled_from("de"), st.sampled_from(("push", "webpush")), st.just("token"))
preferences = st.dictionaries(
    st.sampled_from(("*", "orders")),
    st.dictionaries(st.sampled_from(("*", "sms")), st.booleans(), max_size=2),
    max_size=2,
).map(lambda chosen: msgspec.json.encode(chosen, order="sorted").decode())
quiet = st.sampled_from(("", '{"windows":[]}', '{"windows":[{"start":"22:00","end":"08:00"}]}'))
users = st.builds(
    UserWrite,
    ids,
    email=st.none() | st.just("x@example.com"),
    phone=st.none() | st.just("+12025550143"),
    locale=st.sampled_from(("", "de-AT")),
    zone=st.sampled_from(("", "Europe/Rome")),
    attributes=st.none() | st.sampled_from(('{"plan":"pro"}', '{"plan":1.5,"list":["pro"]}')),
    preferences=st.none() | preferences,
    devices=st.none() | st.lists(devices, max_size=2).map(tuple),
    topics=st.lists(topics, max_size=1).map(tuple),
    quiet_hours=st.none() | quiet,
    more_contacts=st.none() | st.just('{"email":["y@example.com"]}'),
    last_seen_ms=st.none() | st.just(1_700_000_000_000),
)
suppressions = st.builds(
    Suppression,
    st.sampled_from((Channel.EMAIL, Channel.SMS)),
    st.sampled_from(ADDRESSES),
    st.sampled_from(("bounce", "stop")),
    st.integers(1_700_000_000_000, 1_700_000_000_020),
    st.none() | st.integers(1_700_000_000_000, 1_700_000_000_020),
)
providers = st.builds(
    ProviderWrite,
    keys,
    st.sampled_from((Channel.EMAIL, Channel.SMS)),
    st.just("post_office"),
    st.integers(0, 1),
    st.booleans(),
    st.sampled_from(({}, {"n": [1, {"deep": 2.5}]})),
    st.none() | st.just({"api_key": "k"}),
)
categories = st.builds(
    Category, keys, st.booleans(), st.sampled_from(Lane), st.sampled_from(({}, {"sms": False, "email": True}))
)


def call(area: str, name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(area), st.just(name), st.tuples(*arguments))


several = st.lists(ids, min_size=1, max_size=3)
calls = st.one_of(
    call("users", "put_many", st.lists(users, min_size=1, max_size=3), st.sampled_from(("key", "user"))),
    call("users", "erase", ids),
    call("users", "set_preferences", ids, preferences, st.just("user")),
    call("users", "set_quiet_hours", ids, quiet),
    call("users", "put_device", ids, devices),
    call("users", "remove_device", ids, st.sampled_from("de")),
    call("topics", "put", topics, st.sampled_from(("", "News"))),
    call("topics", "remove", topics),
    call("topics", "join", topics, several),
    call("topics", "leave", topics, several),
    call("suppressions", "add", st.lists(suppressions, max_size=2)),
    call("suppressions", "add_missing", st.lists(suppressions, max_size=3)),
    call("suppressions", "remove", st.sampled_from(("email", "sms")), st.sampled_from(ADDRESSES)),
    call(
        "suppressions", "lift", st.sampled_from(("email", "sms")), st.sampled_from(ADDRESSES), st.just("stop"),
        st.integers(1_700_000_000_000, 1_700_000_000_020),
    ),
    call("definitions", "put", st.just("workflow"), keys, st.sampled_from((b"1", b'{"a":"\xc3\xbc"}'))),
    call("definitions", "remove", st.just("workflow"), keys),
    call("providers", "put", providers),
    call("providers", "remove", keys),
    call("categories", "put", categories),
    call("categories", "remove", keys),
    call("tenants", "set_defaults", st.sampled_from(({}, {"*": {"sms": False}}))),
)  # fmt: skip


@pytest.fixture(scope="module")
def control_planes(tmp_path_factory):
    """Return one control store per backend; each example is a tenant of its own in all of them."""
    empty = migrated(tmp_path_factory.mktemp("empty"))
    embedded = CONTROLS.keys() - ENGINES  # those of engines belong to one event loop
    opened = [ControlPlane.copy_of(empty, tmp_path_factory.mktemp(backend), backend) for backend in sorted(embedded)]
    yield opened
    for control_plane in opened:
        asyncio.run(control_plane.close())


async def answer(control_plane, tenant, step):
    """Return the response or the refusal of a call."""
    area, name, arguments = step
    if (area, name) == ("providers", "put") and arguments[0].enabled:
        kept = await control_plane.control.providers.get(tenant, arguments[0].name)
        arguments = (replace(arguments[0], kept=kept),)
    try:
        control = control_plane.control
        areas = {"categories": categories_of, "definitions": definitions_of}
        found = areas[area](control, control_plane.clock) if area in areas else getattr(control, area)
        return await getattr(found, name)(tenant, *arguments)
    except ClarionError as error:
        return type(error).__name__, str(error), getattr(error, "field", None), getattr(error, "code", None)


async def read(control, tenant):
    """Return everything that the control plane reads."""
    return [
        [await control.users.get(tenant, id_) for id_ in IDS],
        await control.users.page(tenant, "", 9),
        await control.users.page(tenant, "ana", 1),
        [await control.consents.page(tenant, id_, None, 9) for id_ in IDS],
        [await control.consents.page(tenant, id_, 3, 1) for id_ in IDS],
        await control.topics.page(tenant, "", 9),
        [await control.topics.members(tenant, one.key, "", 9) for one in await control.topics.page(tenant, "", 9)],
        await control.topics.known(tenant, [*TOPICS, "none"]),
        await control.suppressions.page(tenant, None, None, ("", ""), 9),
        await control.suppressions.page(tenant, "email", "Ana@example.com", ("", ""), 9),
        await control.suppressions.page(tenant, None, None, ("email", "ana@example.com"), 1),
        await definitions_of(control).page(tenant, "workflow", "", 9),
        [
            await definitions_of(control).get(tenant, "workflow", key, number)
            for key in KEYS
            for number in (None, 0, 1, 2)
        ],
        await control.providers.page(tenant, "", 9),
        await categories_of(control).page(tenant, "a", 9),
        await categories_of(control).keys(tenant),
        await control.tenants.get(tenant),
    ]


async def look(directory, tenant):
    """Return everything that planning reads. Ordinals differ between backends, so users are identified by their order."""
    found = await lookups.users(directory, tenant, IDS)
    order = {ordinal: place for place, ordinal in enumerate(sorted(user.ordinal for user in found.values()))}
    pages = [await directory.page(tenant, topic, 0, 9, COLUMNS) for topic in (None, *TOPICS)]
    pages += [await directory.page(tenant, topic, 0, 9, (), filter_) for topic in (None, "news") for filter_ in FILTERS]
    profiles = await directory.profiles([user.profile_id for user in found.values()] + [NEVER_MS])
    return [
        {id_: replace(user, ordinal=order[user.ordinal]) for id_, user in found.items()},
        [[(order[row[0]], *row[1:]) for row in page.rows] for page in pages],
        [page.done for page in pages],
        profiles,
        {id_: order[ordinal] for id_, ordinal in (await directory.ordinals(tenant, IDS)).items()},
        [await lookups.suppressed(directory, tenant, channel, ADDRESSES) for channel in ("email", "sms")],
        [await lookups.has_suppressions(directory, tenant, channel) for channel in ("email", "sms")],
        [await lookups.accounts(directory, tenant, channel) for channel in ("email", "sms")],
        [await directory.account(tenant, key) for key in KEYS],
        [await lookups.category(directory, tenant, key) for key in KEYS],
        [await lookups.topic_exists(directory, tenant, key) for key in TOPICS],
        await lookups.defaults(directory, tenant),
    ]


numbers = count()


@given(st.lists(calls, min_size=1, max_size=12))
def test_every_backend_answers_the_same(control_planes, steps):
    tenant = f"t{next(numbers)}"

    async def live():
        for control_plane in control_planes:
            await control_plane.control.tenants.put(tenant, "")
        for step in steps:
            first, *others = [await answer(control_plane, tenant, step) for control_plane in control_planes]
            assert all(other == first for other in others), step
            for control_plane in control_planes:
                control_plane.clock.wall_ms += 1
        first, *others = [
            (await read(control_plane.control, tenant), await look(control_plane.directory, tenant))
            for control_plane in control_planes
        ]
        for other in others:
            assert other == first

    asyncio.run(live())

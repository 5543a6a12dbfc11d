"""Live inboxes with clients of others: what one tab does the other follows, and what a cut client missed comes once."""

import contextlib
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from clarion.domain.limits_processes import INBOX_MISSED_MAX
from clarion_lab.load.programs import System
from clarion_lab.machine.ports import free_port
from tests.e2e.conftest import QUICK, operator_of, watched
from tests.e2e.listening import EventsTab, SocketTab, Tab, title_of
from tests.e2e.outside import HOST, Api, new_tenant, until

NOTE = {"inapp": {"title": "{{ text }}"}}
LATE_S = 4
FIRST_ZONE = "Pacific/Kiritimati"
"""Where the day begins first: no other zone has a later wall clock."""
REVOKED_S = 5


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    with watched(System(tmp_path_factory.mktemp("live"), QUICK, with_gateway=True)) as started:
        yield started


@pytest.fixture
def home(lively):
    tenant = new_tenant(operator_of(lively)).seed_data({"note": NOTE}, ["inapp"])
    for user in ("ada", "bob"):
        tenant.user(user, zone=FIRST_ZONE)
    return tenant


@pytest.fixture
def tabs(lively):
    """Return a function that opens tabs, of both kinds in turn."""
    yield lambda kind, api, position=None, port=None: kind(port or lively.gateway_port, position, token=api.key)
    while Tab.opened:
        with contextlib.suppress(Exception):
            Tab.opened.pop().leave()


def note(home, text, to="ada", **more):
    return home.post("/v1/notifications", {"to": to, "template": "note", "data": {"text": text}, **more})["id"]


def everyone(home, text, **more):
    body = {"audience": {"all": True}, "template": "note", "data": {"text": text}, **more}
    return home.post("/v1/broadcasts", body)["id"]


def test_read_in_one_tab_gone_in_the_other(home, tabs):
    ada = home.inbox_of("ada")
    socket, events, bob = tabs(SocketTab, ada), tabs(EventsTab, ada), tabs(SocketTab, home.inbox_of("bob"))
    for tab in (socket, events, bob):
        tab.counts(total=0)
    single = note(home, "for ada")
    for tab in (socket, events):
        item = tab.item("for ada")
        tab.counts(total=1, unread=1)
    assert item["notification_id"] == single and item["read_at"] is None
    everyone(home, "for all")
    everyones = socket.item("for all")
    for tab in (events, bob):
        tab.item("for all")
    assert bob.titles() == ["for all"]
    ada.post(f"/v1/inbox/{item['id']}/read")
    for tab in (socket, events):
        state = tab.until(lambda one: one["type"] == "item_state", "the state of the item")
        assert state["items"][0]["id"] == item["id"] and state["items"][0]["read_at"]
        tab.counts(total=2, unread=1)
    ada.delete(f"/v1/inbox/{item['id']}")
    for tab in (socket, events):
        assert tab.until(lambda one: one.get("gone"), "the item is gone")["gone"] == [item["id"]]
        tab.counts(total=1)
    ada.post("/v1/inbox/read-all")
    for tab in (socket, events):
        assert tab.until(lambda one: one.get("all_read_at"), "all were read")["unread"] == []
        tab.counts(unread=0)
    assert everyones["id"] in [one["id"] for one in ada.get("/v1/inbox")["data"]]


@pytest.mark.parametrize("kind", [SocketTab, EventsTab])
def test_cut_and_back_with_exactly_what_was_missed(home, tabs, kind):
    ada, sent = home.inbox_of("ada"), []
    tab = tabs(kind, ada)
    tab.counts(total=0)
    got = []
    for number in range(4):
        tab.leave()
        for text in (f"own {number}", f"second {number}"):
            note(home, text)
            sent.append(text)
        everyone(home, f"all {number}")
        sent.append(f"all {number}")
        until(lambda: ada.get("/v1/inbox/counts")["total"] == len(sent), "all have arrived")
        for taken in range(3):  # cut after the welcome, after one item and after two, then whole
            tab = tabs(kind, ada, tab.position)
            assert tab.message()["recovered"] is True
            for _ in range(min(taken, len(sent) - len(got))):
                got.append(title_of(tab.message()))
            tab.leave()
        tab = tabs(kind, ada, tab.position)
        assert tab.message()["recovered"] is True
        tab.counts(total=len(sent))
        got += tab.titles()
    assert sorted(got) == sorted(sent)
    assert tabs(kind, ada, ada.get("/v1/inbox")["position"]).message()["recovered"] is True


def test_one_that_missed_too_much_has_to_reload(home, tabs):
    ada = home.inbox_of("ada")
    tab = tabs(SocketTab, ada)
    tab.counts(total=0)
    tab.leave()
    for number in range(INBOX_MISSED_MAX + 1):
        note(home, str(number))
    until(lambda: ada.get("/v1/inbox/counts")["total"] > INBOX_MISSED_MAX, "all have arrived")
    tab = tabs(SocketTab, ada, tab.position)
    assert tab.message()["recovered"] is False
    assert tab.message()["type"] == "reload"
    tab.counts(total=INBOX_MISSED_MAX + 1)


def test_a_withdrawn_item_is_gone_in_all_tabs(home, tabs):
    ada, bob = home.inbox_of("ada"), home.inbox_of("bob")
    here = [tabs(SocketTab, ada), tabs(EventsTab, bob)]
    for tab in here:
        tab.counts(total=0)
    for post, path in ((note, "notifications"), (everyone, "broadcasts")):
        sent = post(home, "oops", **({"to": ["ada", "bob"]} if post is note else {}))
        for tab in here:
            tab.item("oops")
            tab.counts(total=1)
        home.post(f"/v1/{path}/{sent}/withdraw")
        for tab in here:
            assert sent in tab.until(lambda one: one.get("withdrawn"), "it is withdrawn")["withdrawn"]
            tab.counts(total=0)


def test_late_but_unread(home, tabs):
    ada = home.inbox_of("ada")
    tab = tabs(SocketTab, ada)
    tab.counts(total=0)
    due = datetime.now(UTC) + timedelta(seconds=LATE_S)
    note(home, "late", send_at=due.isoformat())
    everyone(home, "late for all", local_time=f"{due.astimezone(ZoneInfo(FIRST_ZONE)):%Y-%m-%dT%H:%M:%S}")
    note(home, "early")
    tab.item("early")
    ada.post("/v1/inbox/read-all")
    tab.counts(total=1, unread=0)
    late = [tab.until(lambda one: one["type"] == "item", "a late one")["item"] for _ in range(2)]
    assert {one["content"]["title"] for one in late} == {"late", "late for all"}
    assert all(one["read_at"] is None for one in late)
    tab.counts(total=3, unread=2)


def test_tickets_are_for_one_connection_and_tokens_for_one_tenant(home, tabs, lively):
    ada = home.inbox_of("ada")
    ticket = ada.post("/v1/live/tickets")["ticket"]
    first = SocketTab(lively.gateway_port, ticket=ticket)
    first.counts(total=0)
    assert SocketTab(lively.gateway_port, ticket=ticket).closed() == 4401
    assert EventsTab(lively.gateway_port, ticket=ticket).response.status_code == 401
    assert SocketTab(lively.gateway_port, token=home.key).closed() == 4401
    other = new_tenant(operator_of(lively), "elsewhere").seed_data({"note": NOTE}, ["inapp"])
    other.user("ada")
    stranger = tabs(SocketTab, other.inbox_of("ada"))
    stranger.counts(total=0)
    note(home, "secret")
    first.item("secret")
    note(other, "theirs")
    assert stranger.item("theirs") and stranger.titles() == ["theirs"]
    refused = SocketTab(lively.gateway_port, first.position, token=other.inbox_of("ada").key)
    assert refused.closed() == 4400  # the position of another inbox
    first.leave()


def test_revocation_closes_what_is_open(home, tabs):
    ada = home.inbox_of("ada")
    tab = tabs(SocketTab, ada)
    tab.counts(total=0)
    since = time.monotonic()
    home.post("/v1/users/tokens/rotate-key", {"overlap_s": 0})
    assert tab.closed() == 4401
    assert time.monotonic() - since < REVOKED_S
    tabs(SocketTab, home.inbox_of("ada")).counts(total=0)


@contextlib.contextmanager
def another_gateway(system):
    """Run one more gateway of an installation; return its port and process."""
    port = free_port()
    environment = dict(system.environment) | {"CLARION_GATEWAY_PORT": str(port), "CLARION_GATEWAY_HOST": HOST}
    with (system.folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "clarion", "gateway"], env=environment, stdout=log, stderr=log
        )
        try:
            until(lambda: answers(port), "the other gateway listens")
            yield port, process
        finally:
            process.terminate()
            process.wait(20)


def answers(port):
    with contextlib.suppress(OSError):
        return Api(port).call("GET", "/healthz").status == 200
    return False


@pytest.mark.processes
def test_two_gateways_and_one_is_killed(home, tabs, lively):
    ada, bob = home.inbox_of("ada"), home.inbox_of("bob")
    with another_gateway(lively) as (port, process):
        here, there, away = tabs(SocketTab, ada), tabs(SocketTab, ada, port=port), tabs(EventsTab, bob, port=port)
        for tab in (here, there, away):
            tab.counts(total=0)
        note(home, "one")
        everyone(home, "two")
        for tab in (here, there):
            tab.until(lambda _one, tab=tab: set(tab.titles()) == {"one", "two"}, "both")
        away.item("two")
        ada.post("/v1/inbox/read-all")
        for tab in (here, there):
            tab.counts(unread=0)
        process.kill()
        process.wait()
        assert there.closed() is None
        note(home, "three")
        everyone(home, "four")
        back = tabs(SocketTab, ada, there.position)
        assert back.message()["recovered"] is True
        back.until(lambda _one: len(back.titles()) == 2, "what was missed")
        assert set(back.titles()) == {"three", "four"}
        bobs = tabs(EventsTab, bob, away.position)
        assert bobs.message()["recovered"] is True
        assert bobs.item("four")


@pytest.mark.processes
def test_a_stopping_gateway_says_when_to_come_back(home, tabs, lively):
    ada = home.inbox_of("ada")
    with another_gateway(lively) as (port, process):
        tab, stream = tabs(SocketTab, ada, port=port), tabs(EventsTab, ada, port=port)
        for one in (tab, stream):
            one.counts(total=0)
        process.terminate()
        for one in (tab, stream):
            assert 0 <= one.until(lambda m: m["type"] == "goodbye", "goodbye")["retry_after_ms"] <= 10_000
        assert tab.closed() == 1001
        assert stream.message()["code"] == 1001
        assert process.wait(20) == 0
        back = tabs(SocketTab, ada, tab.position)
        assert back.message()["recovered"] is True


@pytest.mark.processes
def test_a_gateway_that_died_is_started_again(home, tabs, lively):
    ada = home.inbox_of("ada")
    tab = tabs(SocketTab, ada)
    tab.counts(total=0)
    (gateway,) = lively.processes()["gateway"]
    gateway.kill()
    assert tab.closed() is None
    note(home, "meanwhile")
    until(lambda: answers(lively.gateway_port), "the gateway is back")
    back = tabs(SocketTab, ada, tab.position)
    assert back.message()["recovered"] is True
    back.item("meanwhile")


def test_tabs_of_a_user_know_of_each_other(home, tabs):
    ada = home.inbox_of("ada")
    one = tabs(SocketTab, ada)
    one.counts(total=0)
    other = tabs(EventsTab, ada)
    other.counts(total=0)  # what arrives before it has begun is not told

    def told(tab, text, *connections):
        note(home, text)
        tab.item(text)
        return tab.presence == list(connections)

    until(lambda: told(other, "a", 2), "the second is told")
    until(lambda: told(one, "b", 2), "the first is told")
    other.leave()
    until(lambda: told(one, "c", 2, 1), "the first is told that it is alone")


def counted(operator):
    shown = operator.call("GET", "/metrics").body.decode()
    wanted = (
        'clarion_gateway_opened_total{transport="websocket"}',
        'clarion_gateway_joins_total{recovered="new"}',
        "clarion_gateway_frames_total",
    )
    return shown if all(one in shown for one in wanted) else None


def test_what_the_gateway_does_is_counted(home, tabs, lively):
    tabs(SocketTab, home.inbox_of("ada")).counts(total=0)
    shown = until(lambda: counted(operator_of(lively)), "what it did is counted")
    assert "clarion_gateway_connections" in shown

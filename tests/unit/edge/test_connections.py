"""Connections beyond the bound take the place of idle ones, of the peer that has most; a busy one is never closed."""

import math
import resource

import pytest

from clarion.domain.limits_processes import CONNECTIONS_MAX, LINGERING_PER_PEER_MAX, NONE_IDLE_MS
from clarion.edge import open_files
from clarion.edge.connections import Connections


class One:
    """A connection of a peer that is idle since a time, or busy."""

    def __init__(self, connections, peer, idle_since_s=math.inf):
        self.client, self.idle_since_s, self.aborted = (peer, 1), idle_since_s, False
        self.entered = connections.enter(self)

    def abort(self):
        self.aborted = True


class Notes:
    """Records the security log."""

    def __init__(self):
        self.reasons = []

    def security(self, event, **fields):
        self.reasons.append((event.value, fields["reason"], fields["peer"]))


def test_a_peer_with_too_many_connections_loses_its_longest_idle_one():
    notes = Notes()
    connections = Connections(notes, 100, 4)
    other = One(connections, "192.0.2.9", 0.0)
    busy = One(connections, "192.0.2.1")
    idle = [One(connections, "192.0.2.1", float(since_s)) for since_s in (3, 2, 4)]
    assert One(connections, "192.0.2.1", 9.0).entered
    assert [one.aborted for one in (other, busy, *idle)] == [False, False, False, True, False]
    assert notes.reasons == [("request_refused", "idle_connection_closed", "192.0.2.1")]


def test_few_connections_of_a_peer_are_read_to_their_end():
    connections = Connections()
    many = [One(connections, "192.0.2.1") for _ in range(LINGERING_PER_PEER_MAX + 1)]
    assert [connections.linger(one) for one in many] == [True] * LINGERING_PER_PEER_MAX + [False]
    assert connections.linger(many[0])
    assert connections.linger(One(connections, "192.0.2.2"))
    connections.leave(many[0])
    assert connections.linger(many[-1])


def test_when_all_are_too_many_the_peer_with_most_loses_one():
    connections = Connections(None, 6, 3)
    few = [One(connections, f"192.0.2.{n}", 0.0) for n in (2, 3)]
    busy = [One(connections, "192.0.2.1") for _ in range(2)]
    idle = One(connections, "192.0.2.1", 7.0)
    last = One(connections, "192.0.2.4", 0.0)
    assert One(connections, "192.0.2.5", 8.0).entered
    assert [one.aborted for one in (*few, *busy, idle, last)] == [False] * 4 + [True, False]


def test_when_the_greediest_peer_has_none_idle_another_loses_one():
    connections = Connections(None, 4, 2)
    busy = [One(connections, "192.0.2.1") for _ in range(2)]
    idle = [One(connections, f"192.0.2.{n}", float(n)) for n in (3, 2)]
    assert One(connections, "192.0.2.4").entered
    assert [one.aborted for one in (*busy, *idle)] == [False, False, False, True]


def test_without_an_idle_one_a_new_one_is_refused_and_sought_again_later():
    now_s = [0.0]
    notes = Notes()
    connections = Connections(notes, 4, 2, lambda: now_s[0])
    first, _ = (One(connections, "192.0.2.1") for _ in range(2))
    assert not One(connections, "192.0.2.1").entered
    assert notes.reasons == [("request_refused", "too_many_connections", "192.0.2.1")]
    first.idle_since_s = 0.0
    assert not One(connections, "192.0.2.1").entered
    now_s[0] = NONE_IDLE_MS / 1000
    assert One(connections, "192.0.2.1").entered
    assert first.aborted


def test_what_has_left_counts_no_more():
    connections = Connections(None, 4, 2)
    for _ in range(10):
        one = One(connections, "2001:db8::1")
        assert one.entered
        connections.leave(one)
        connections.leave(one)
    assert (connections._number, connections._peers) == (0, {})
    connections.stopping = True
    assert not One(connections, "192.0.2.1").entered


@pytest.mark.parametrize(
    ("limits", "raised", "connections"),
    [
        ((1_024, 1_048_576), open_files.NEEDED, CONNECTIONS_MAX),
        ((1_024, resource.RLIM_INFINITY), open_files.NEEDED, CONNECTIONS_MAX),
        ((resource.RLIM_INFINITY,) * 2, None, CONNECTIONS_MAX),
        ((1_024, 2_048), 2_048, (2_048 - 612) * 2 // 3),
        ((256, 256), 256, 64),
    ],
)
def test_the_bound_follows_the_open_files_that_the_system_permits(limits, raised, connections, monkeypatch):
    now, lines = [limits], []
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[0])
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: now.insert(0, pair))

    class Log:
        def log(self, level, event, **fields):
            lines.append((level, event, fields["connections_max"]))

    assert open_files.raise_open_files(Log()) == connections
    assert now[0][0] == (limits[0] if raised is None else raised)
    assert lines == ([] if connections == CONNECTIONS_MAX else [("warning", "open_files_low", connections)])

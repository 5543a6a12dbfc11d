"""A client has to take its response at a rate and in a time; a body has to come at a rate, while it can."""

from types import SimpleNamespace

import pytest

from clarion.domain.limits import (
    BODY_BYTES_PER_S_MIN,
    BODY_GRACE_MS,
    BODY_TOTAL_MS_MAX,
    RESPONSE_BYTES_PER_S_MIN,
    RESPONSE_TOTAL_MS_MAX,
    RESPONSE_WAIT_MS_MAX,
)
from clarion.edge.deadlines import Deadline

WAIT_S, GRACE_S = RESPONSE_WAIT_MS_MAX / 1000, BODY_GRACE_MS / 1000
STEP = int(WAIT_S * RESPONSE_BYTES_PER_S_MIN)


class Loop:
    """A clock whose timers are called when it is moved."""

    def __init__(self):
        self.now_s, self.timers = 100.0, []

    def time(self):
        return self.now_s

    def call_at(self, at_s, call):
        self.timers.append(timer := [at_s, call])
        return SimpleNamespace(cancel=lambda: self.timers.remove(timer))

    def pass_s(self, seconds):
        end_s = self.now_s + seconds
        while due := sorted(timer for timer in self.timers if timer[0] <= end_s):
            self.timers.remove(due[0])
            self.now_s = due[0][0]
            due[0][1]()
        self.now_s = end_s


class Client:
    """The deadline of a client, and what happens to it."""

    def __init__(self):
        self.loop, self.written_bytes, self.unsent_bytes, self.reading, self.ends = Loop(), 0, 0, True, []
        self.deadline = Deadline(
            self.loop, self,
            on_late=lambda: self.ends.append("late"),
            on_late_body=lambda: self.ends.append("late body"),
            is_reading=lambda: self.reading,
        )  # fmt: skip

    def get_write_buffer_size(self):
        return self.unsent_bytes

    def abort(self):
        self.ends.append("aborted")

    def respond(self, size):
        self.written_bytes += size
        self.unsent_bytes += size
        self.deadline.follow_response()

    def take(self, size):
        self.unsent_bytes -= size


@pytest.mark.parametrize(("taken", "ends"), [(0, ["aborted"]), (1, ["aborted"]), (STEP - 1, ["aborted"]), (STEP, [])])
def test_between_two_checks_a_client_takes_what_the_rate_requires(taken, ends):
    client = Client()
    client.respond(10 * STEP)
    for _ in range(4):
        client.loop.pass_s(WAIT_S)
        if client.ends:
            break
        client.take(taken)
    assert client.ends == ends


def test_a_client_that_has_taken_all_is_not_measured_by_the_time_it_was_idle():
    client = Client()
    client.respond(10)
    client.loop.pass_s(WAIT_S)
    client.take(10)
    client.loop.pass_s(WAIT_S - 1)
    client.respond(10 * STEP)
    client.loop.pass_s(2)
    assert client.ends == []


def test_a_response_is_taken_in_a_bounded_time():
    client = Client()
    client.respond(10**6 * STEP)
    checks = 0
    while not client.ends:
        client.loop.pass_s(WAIT_S)
        client.take(STEP)
        checks += 1
    assert checks == RESPONSE_TOTAL_MS_MAX // RESPONSE_WAIT_MS_MAX + 1


def test_a_client_that_takes_one_response_after_another_is_never_late():
    client = Client()
    client.respond(20 * STEP)
    for _ in range(200):
        client.loop.pass_s(WAIT_S)
        client.take(5 * STEP)
        client.respond(5 * STEP)
    assert client.ends == []


def test_a_body_comes_at_the_rate_after_a_grace():
    client = Client()
    client.deadline.follow_body()
    client.loop.pass_s(GRACE_S)
    assert client.ends == []
    for _ in range(10):
        client.deadline.body_bytes += int(GRACE_S * BODY_BYTES_PER_S_MIN)
        client.loop.pass_s(GRACE_S)
    assert client.ends == []
    client.loop.pass_s(2 * GRACE_S)
    assert client.ends == ["late body"]


def test_a_body_that_nobody_reads_is_not_late_and_a_streamed_one_ends():
    client = Client()
    client.deadline.follow_body()
    client.reading = False
    client.loop.pass_s(100 * GRACE_S)
    assert client.ends == []
    client.reading, client.deadline.body_bytes = True, 10**12
    client.loop.pass_s(BODY_TOTAL_MS_MAX / 1000 - 100 * GRACE_S - 1)
    assert client.ends == []
    client.loop.pass_s(GRACE_S)
    assert client.ends == ["late body"]


def test_a_body_that_has_come_and_a_connection_that_is_closed_are_not_late():
    client = Client()
    client.deadline.follow_body()
    client.deadline.forget_body()
    client.loop.pass_s(10 * GRACE_S)
    client.deadline.set(10)
    client.deadline.cancel()
    client.loop.pass_s(100)
    assert client.ends == []


def test_one_timer_serves_many_deadlines():
    client = Client()
    for _ in range(1_000):
        client.deadline.set(10)
        client.loop.pass_s(0.5)
    assert len(client.loop.timers) == 1
    client.loop.pass_s(20)
    assert client.ends == ["late"]

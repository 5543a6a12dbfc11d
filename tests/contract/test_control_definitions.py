"""Guarantees of the repository of versioned definitions."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clarion.domain.errors import Conflict
from clarion.domain.limits import DEFINITIONS_PER_KIND_MAX
from tests.contract.controls import ControlPlane
from tests.registries import definitions_of

PORT = "control"
T, K = "acme", "workflow"


async def test_versions_count_up_and_earlier_ones_stay_readable(control_plane):
    definitions = definitions_of(control_plane.control, control_plane.clock)
    first = await definitions.put(T, K, "welcome", b'{"n":1}')
    control_plane.clock.wall_ms += 5
    second = await definitions.put(T, K, "welcome", b'{"n":2}')
    assert (first.version, second.version) == (1, 2)
    assert (second.created_ms, second.updated_ms) == (first.created_ms, first.updated_ms + 5)
    assert await definitions.get(T, K, "welcome") == second
    assert await definitions.get(T, K, "welcome", 1) == first
    assert await definitions.get(T, K, "welcome", 3) is None


async def test_the_same_body_again_is_the_same_version(control_plane):
    definitions = definitions_of(control_plane.control, control_plane.clock)
    first = await definitions.put(T, K, "welcome", b'{"n":1}')
    revision = control_plane.directory.revision(T)
    assert await definitions.put(T, K, "welcome", b'{"n":1}') == first
    assert control_plane.directory.revision(T) == revision, "nothing changed, so no cache is dropped"
    await definitions.put(T, K, "welcome", b'{"n":2}')
    assert (await definitions.put(T, K, "welcome", b'{"n":1}')).version == 3


async def test_a_removed_one_is_found_by_number_only_and_counts_on(control_plane):
    definitions = definitions_of(control_plane.control, control_plane.clock)
    first = await definitions.put(T, K, "welcome", '{"n":"é"}'.encode())
    assert await definitions.remove(T, K, "welcome")
    assert not await definitions.remove(T, K, "welcome")
    assert await definitions.get(T, K, "welcome") is None
    assert await definitions.page(T, K, "", 9) == []
    assert await definitions.get(T, K, "welcome", 1) == first
    assert (await definitions.put(T, K, "welcome", first.body)).version == 2


async def test_pages_hold_the_newest_versions_in_the_order_of_keys(control_plane):
    definitions = definitions_of(control_plane.control, control_plane.clock)
    for key in ("c", "a", "b", "a"):
        await definitions.put(T, K, key, f'"{key}{control_plane.clock.wall_ms}"'.encode())
        control_plane.clock.wall_ms += 1
    first = await definitions.page(T, K, "", 2)
    assert [(found.key, found.version) for found in first] == [("a", 2), ("b", 1)]
    assert [found.key for found in await definitions.page(T, K, "b", 2)] == ["c"]


async def test_tenants_and_kinds_are_blind_to_each_other(control_plane):
    definitions = definitions_of(control_plane.control, control_plane.clock)
    await definitions.put(T, K, "x", b"{}")
    for tenant, kind in (("other", K), (T, "segment")):
        assert await definitions.get(tenant, kind, "x") is None
        assert await definitions.get(tenant, kind, "x", 1) is None
        assert await definitions.page(tenant, kind, "", 9) == []
        assert not await definitions.remove(tenant, kind, "x")
        assert (await definitions.put(tenant, kind, "x", b"[]")).version == 1
    assert (await definitions.get(T, K, "x")).body == b"{}"


@pytest.mark.slow
async def test_definitions_are_bounded_and_a_removed_one_makes_room(control_plane):
    definitions = definitions_of(control_plane.control, control_plane.clock)
    for number in range(DEFINITIONS_PER_KIND_MAX):
        await definitions.put(T, K, f"w{number}", b"{}")
    with pytest.raises(Conflict):
        await definitions.put(T, K, "one-more", b"{}")
    assert await definitions.get(T, K, "one-more", 1) is None
    assert (await definitions.put(T, K, "w0", b"[]")).version == 2
    await definitions.remove(T, K, "w0")
    assert (await definitions.put(T, K, "one-more", b"{}")).version == 1


KEYS, BODIES = st.sampled_from("ab"), st.sampled_from([b"1", b"2"])


class Versions(RuleBasedStateMachine):
    """Against a model: a list of bodies per key, and whether the last of them is current."""

    def __init__(self):
        super().__init__()
        self.control_plane = self.fresh()
        self.bodies = {"a": [], "b": []}
        self.current = {"a": False, "b": False}

    def teardown(self):
        self.run(self.control_plane.close())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    @rule(key=KEYS, body=BODIES)
    def put(self, key, body):
        if not self.current[key] or self.bodies[key][-1] != body:
            self.bodies[key].append(body)
        self.current[key] = True
        assert self.run(
            definitions_of(self.control_plane.control, self.control_plane.clock).put(T, K, key, body)
        ).version == len(self.bodies[key])

    @rule(key=KEYS)
    def remove(self, key):
        assert (
            self.run(definitions_of(self.control_plane.control, self.control_plane.clock).remove(T, K, key))
            == self.current[key]
        )
        self.current[key] = False

    @invariant()
    def both_reads_agree_with_the_model(self):
        definitions = definitions_of(self.control_plane.control, self.control_plane.clock)
        listed = {found.key: found.body for found in self.run(definitions.page(T, K, "", 9))}
        assert listed == {key: self.bodies[key][-1] for key in "ab" if self.current[key]}
        for key in "ab":
            newest = self.run(definitions.get(T, K, key))
            assert (newest and newest.body) == listed.get(key)
            for number, body in enumerate(self.bodies[key], 1):
                assert self.run(definitions.get(T, K, key, number)).body == body


def test_any_history_of_puts_and_removals(control_backend, empty, tmp_path_factory):
    loop = asyncio.new_event_loop()

    def fresh():
        return ControlPlane.copy_of(empty, tmp_path_factory.mktemp("history"), control_backend)

    machine = type("Machine", (Versions,), {"fresh": staticmethod(fresh), "loop": loop}).TestCase
    machine.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)
    try:
        machine().runTest()
    finally:
        loop.close()

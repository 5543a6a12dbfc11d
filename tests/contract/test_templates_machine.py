"""Random histories of templates, in the store and in a small model: all reads must be equal after every step."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import Conflict, NotFound
from clarion.domain.template import Source
from tests import lookups
from tests.contract.controls import ControlPlane
from tests.registries import templates_of

PORT = "control"
T = "acme"
KEYS = ("a", "b")

keys = st.sampled_from(KEYS)
texts = st.sampled_from(["x", "y", "z"])
numbers = st.integers(1, 6)


def source(text):
    return Source({Channel.SMS: {"body": text}})


def built(text):
    return Template("", 0, None, {Channel.SMS: {"body": text}})


@dataclass
class Life:
    """One template: its newest number, sources and builds by version, which were published, and the current ones, the
    last of which is sent."""

    newest: int = 0
    sources: dict[int, str] = field(default_factory=dict)
    builds: dict[int, str] = field(default_factory=dict)
    published: set[int] = field(default_factory=set)
    currents: list[int] = field(default_factory=list)

    def save(self, text):
        if self.newest not in self.sources or self.newest in self.published:
            self.newest += 1
        self.sources[self.newest] = self.builds[self.newest] = text

    def publish(self, version, text):
        self.builds[version] = text
        self.published.add(version)
        if version in self.currents:
            del self.currents[self.currents.index(version) + 1 :]
        else:
            self.currents.append(version)

    def remove(self):
        there = bool(self.sources)
        self.sources, self.builds, self.published, self.currents = {}, {}, set(), []
        return there


class Lives(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.control_plane = self.fresh()
        self.runner = asyncio.Runner()
        self.lives = {key: Life() for key in KEYS}
        self.templates = templates_of(self.control_plane.control)

    def done(self, call):
        return self.runner.run(call)

    @rule(key=keys, text=texts, publish=st.booleans())
    def save(self, key, text, publish):
        life = self.lives[key]
        life.save(text)
        if publish:
            life.publish(life.newest, text)
        stored = self.done(self.templates.save(T, key, source(text), built(text), "ada", publish=publish))
        assert (stored.version, stored.current) == (life.newest, publish)

    @rule(key=keys, version=numbers, text=texts, guess=st.none() | texts)
    def publish(self, key, version, text, guess):
        life = self.lives[key]
        call = self.templates.publish(
            T, key, version, built(text), "bob", text, source=None if guess is None else source(guess)
        )
        if version not in life.sources:
            self.refused(call, NotFound)
        elif guess not in (None, life.sources[version]):
            self.refused(call, Conflict)
        else:
            stored = self.done(call)
            life.publish(version, text)
            assert (stored.version, stored.current, stored.note) == (version, True, text)

    @rule(key=keys)
    def roll_back(self, key):
        life = self.lives[key]
        before = self.done(self.templates.previous(T, key))
        assert (before and before.version) == (life.currents[-2] if len(life.currents) > 1 else None)
        if before is not None:
            self.done(self.templates.publish(T, key, before.version, before.template, "eve", "back"))
            life.publish(before.version, life.builds[before.version])

    @rule(changes=st.dictionaries(st.tuples(keys, numbers), texts, max_size=3))
    def rebuild(self, changes):
        self.done(self.templates.rebuild(T, {place: built(text) for place, text in changes.items()}))
        for (key, version), text in changes.items():
            life = self.lives[key]
            if life.currents and life.currents[-1] == version:
                life.builds[version] = text

    @rule(key=keys)
    def remove(self, key):
        assert self.done(self.templates.remove(T, key)) == self.lives[key].remove()

    def refused(self, call, error):
        try:
            self.done(call)
        except error:
            return
        raise AssertionError(f"{error.__name__} is expected")

    @invariant()
    def reads_the_same(self):
        self.done(self.control_plane.directory.refresh())
        for key, life in self.lives.items():
            current = life.currents[-1] if life.currents else None
            assert self.done(self.read(key)) == (None if current is None else (current, life.builds[current]))
            for version in range(1, life.newest + 2):
                known = (version, life.builds[version]) if version in life.builds else None
                assert self.done(self.read(f"{key}@{version}")) == known
            listed = [
                (one.version, one.current, one.published_ms is not None)
                for one in self.done(self.templates.versions(T, key, 99, 99))
            ]
            assert listed == [
                (version, version == current, version in life.published)
                for version in sorted(life.sources, reverse=True)
            ]
            for version, text in life.sources.items():
                assert self.done(self.templates.version(T, key, version)).source == source(text)
        page = [(one.key, one.version) for one in self.done(self.templates.page(T, "", 9))]
        assert page == [
            (key, life.currents[-1] if life.currents else life.newest)
            for key, life in self.lives.items()
            if life.sources
        ]

    async def read(self, name):
        template = await lookups.template(self.control_plane.directory, T, name)
        return None if template is None else (template.version, template.parts[Channel.SMS]["body"])

    def teardown(self):
        self.runner.run(self.control_plane.close())
        self.runner.close()


@pytest.mark.slow
def test_the_store_does_what_the_model_does(control_backend, empty, tmp_path_factory):
    def fresh():
        return ControlPlane.copy_of(empty, tmp_path_factory.mktemp("lives"), control_backend)

    machine = type("Machine", (Lives,), {"fresh": staticmethod(fresh)}).TestCase
    machine.settings = settings(max_examples=settings().max_examples // 5, stateful_step_count=25)
    machine().runTest()

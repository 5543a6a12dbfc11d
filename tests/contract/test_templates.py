"""Guarantees of the registry of templates: drafts, immutable versions, publishing, rollback, removal."""

import asyncio

import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Category, Template
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.template import Sample, Source, Translation
from tests import lookups
from tests.contract.backends import SHARED
from tests.contract.controls import ControlPlane
from tests.registries import categories_of, definitions_of, templates_of

PORT = "control"
T = "acme"


@pytest.fixture
def templates(control_plane):
    return templates_of(control_plane.control, control_plane.clock)


def source(text="Hi", category=None):
    return Source(
        {Channel.SMS: {"body": text}},
        category=category,
        locales={"de": Translation({"greeting": {"one": "Hallo", "other": "Hallo alle"}})},
        variables={"type": "object", "properties": {"name": {}}},
        sample=Sample({"name": "Ada"}, {"locale": "de"}),
    )


def built(text="Hi", **more):
    return Template("ignored", 0, None, {Channel.SMS: {"body": text}}, **more)


async def sent(control_plane, name="hello"):
    """Return the template that a stage would send now."""
    await control_plane.directory.refresh()
    template = await lookups.template(control_plane.directory, T, name)
    return None if template is None else (template.version, template.parts[Channel.SMS]["body"])


async def save(templates, text, key="hello", *, publish=False, by="ada"):
    return await templates.save(T, key, source(text), built(text), by, publish=publish)


async def test_a_draft_is_kept_whole_and_sent_to_nobody(control_plane, templates):
    stored = await save(templates, "one")
    assert (stored.key, stored.version, stored.current, stored.source) == ("hello", 1, False, source("one"))
    assert (stored.created_ms, stored.created_by) == (control_plane.clock.wall_ms, "ada")
    assert (stored.published_ms, stored.published_by, stored.note) == (None, None, "")
    assert (stored.template.key, stored.template.version, stored.template.parts) == ("hello", 1, built("one").parts)
    assert await templates.version(T, "hello") == stored
    assert (await sent(control_plane), await templates.get(T, "hello"), await templates.current(T, "hello")) == (
        None,
        None,
        None,
    )
    assert await templates.page(T, "", 9) == [stored]


async def test_a_draft_is_replaced_until_it_is_published(control_plane, templates):
    await save(templates, "one")
    control_plane.clock.wall_ms += 5
    second = await save(templates, "two", by="bob")
    assert (second.version, second.created_by, second.created_ms) == (1, "bob", control_plane.clock.wall_ms)
    control_plane.clock.wall_ms += 5
    published = await templates.publish(T, "hello", 1, built("two, built again"), "eve", "at last")
    assert (published.current, published.published_ms) == (True, control_plane.clock.wall_ms)
    assert (published.published_by, published.note, published.created_by) == ("eve", "at last", "bob")
    assert await sent(control_plane) == (1, "two, built again")
    third = await save(templates, "three")
    assert (third.version, third.current) == (2, False)
    assert await sent(control_plane) == (1, "two, built again")
    assert (await templates.version(T, "hello", 1)).source == source("two")


async def test_going_back_twice_leads_two_versions_back(control_plane, templates):
    for text in ("one", "two", "three"):
        await save(templates, text, publish=True)
    for version in (2, 1):
        before = await templates.previous(T, "hello")
        assert before.version == version
        assert (await templates.publish(T, "hello", version, before.template, "ada", "")).current
        assert (await sent(control_plane))[0] == version
    assert await templates.previous(T, "hello") is None
    await templates.publish(T, "hello", 3, built("three"), "ada", "")
    assert (await templates.previous(T, "hello")).version == 1
    assert [one.current for one in await templates.versions(T, "hello", 99, 9)] == [True, False, False]


async def test_versions_are_listed_newest_first_and_in_pages(templates):
    for number in range(5):
        await save(templates, str(number), publish=True)
    assert [one.version for one in await templates.versions(T, "hello", 5, 2)] == [4, 3]
    assert [one.version for one in await templates.versions(T, "hello", 3, 9)] == [2, 1]
    assert await templates.versions(T, "nobody", 9, 9) == await templates.versions("other", "hello", 9, 9) == []


async def test_a_page_has_what_is_current_and_of_others_the_draft(templates):
    await save(templates, "a1", "a", publish=True)
    await save(templates, "a2", "a")
    await save(templates, "b1", "b")
    page = await templates.page(T, "", 9)
    assert [(one.key, one.version, one.current) for one in page] == [("a", 1, True), ("b", 1, False)]
    assert [one.key for one in await templates.page(T, "a", 9)] == ["b"]


async def test_numbers_do_not_come_back_after_a_removal(control_plane, templates):
    await save(templates, "one", publish=True)
    await save(templates, "two")
    assert await templates.remove(T, "hello")
    assert await sent(control_plane) is None
    assert (await templates.versions(T, "hello", 99, 9), await templates.page(T, "", 9)) == ([], [])
    assert not await templates.remove(T, "hello")
    with pytest.raises(NotFound):
        await templates.publish(T, "hello", 1, built(), "ada", "")
    assert (await save(templates, "three", publish=True)).version == 3
    assert await templates.previous(T, "hello") is None
    assert await sent(control_plane) == (3, "three")


async def test_only_what_is_still_current_is_rebuilt(control_plane, templates):
    await save(templates, "a1", "a", publish=True)
    await save(templates, "b1", "b", publish=True)
    await save(templates, "b2", "b", publish=True)
    await templates.rebuild(T, {("a", 1): built("A"), ("b", 1): built("late"), ("gone", 1): built("x")})
    assert (await sent(control_plane, "a"), await sent(control_plane, "b")) == ((1, "A"), (2, "b2"))
    stored = await templates.version(T, "b", 1)
    assert stored.template.parts[Channel.SMS]["body"] == "b1"
    assert (await templates.current(T, "a")).source == source("a1")


async def test_a_fixed_version_goes_by_its_own_name_draft_or_not(control_plane, templates):
    await save(templates, "one", publish=True)
    await save(templates, "two")
    assert (await sent(control_plane, "hello@1"), await sent(control_plane, "hello@2")) == ((1, "one"), (2, "two"))
    assert (await lookups.template(control_plane.directory, T, "hello@2")).key == "hello@2"
    assert (await templates.get(T, "hello@2")).version == 2
    for name in ("hello@3", "hello@0", "hello@", "hello@x", "hello@-1", "other@1", "hello@99999999999999999999"):
        assert await sent(control_plane, name) is None, name
        assert await templates.get(T, name) is None, name
    await save(templates, "two, changed")
    assert await sent(control_plane, "hello@2") == (2, "two, changed")


async def test_the_same_object_is_read_until_something_of_it_changes(control_plane, templates):
    async def read():
        await control_plane.directory.refresh()
        return await lookups.template(control_plane.directory, T, "hello")

    await save(templates, "one", publish=True)
    first = await read()
    await categories_of(control_plane.control).put(T, Category("news"))
    await save(templates, "two")
    assert await read() is first
    await templates.rebuild(T, {("hello", 1): built("one, again")})
    assert (await read()).parts[Channel.SMS]["body"] == "one, again"
    await templates.publish(T, "hello", 2, built("two"), "ada", "")
    second = await read()
    await templates.publish(T, "hello", 1, built("one"), "ada", "")
    assert (second.version, (await read()).version) == (2, 1)


@pytest.mark.needs_trait(SHARED)
async def test_every_change_is_seen_by_another_process_within_a_second(control_plane, templates):
    other = ControlPlane(control_plane.data_dir, control_plane.clock, control_plane.backend)
    try:
        for text in ("one", "two"):
            await save(templates, text, publish=True)
            control_plane.settle()
            assert (await lookups.template(other.directory, T, "hello")).parts[Channel.SMS]["body"] == text
        await templates.publish(T, "hello", 1, built("one"), "ada", "")
        control_plane.settle()
        assert (await lookups.template(other.directory, T, "hello")).version == 1
        await templates.remove(T, "hello")
        control_plane.settle()
        assert await lookups.template(other.directory, T, "hello") is None
    finally:
        await other.close()


async def test_a_category_has_to_exist_and_stays_while_it_is_used(control_plane, templates):
    categories = categories_of(control_plane.control)
    with pytest.raises(InvalidField) as refused:
        await templates.save(T, "hello", source(category="news"), built(), "ada")
    assert (refused.value.field, await templates.version(T, "hello")) == ("category", None)
    await categories.put(T, Category("news"))
    await templates.save(T, "hello", source(category="news"), built(), "ada", publish=True)
    with pytest.raises(Conflict):
        await categories.remove(T, "news")
    await save(templates, "plain")
    with pytest.raises(Conflict):
        await categories.remove(T, "news")
    await templates.publish(T, "hello", 2, built("plain"), "ada", "")
    assert await categories.remove(T, "news")
    with pytest.raises(InvalidField):
        await templates.publish(T, "hello", 1, built(), "ada", "")
    assert await sent(control_plane) == (2, "plain")


async def test_what_was_built_of_another_source_is_not_published(templates):
    await save(templates, "one")
    with pytest.raises(Conflict) as refused:
        await templates.publish(T, "hello", 1, built("zero"), "ada", "", source=source("zero"))
    assert refused.value.code == "draft_changed"
    assert await templates.current(T, "hello") is None
    assert (await templates.publish(T, "hello", 1, built("one"), "ada", "", source=source("one"))).current


async def test_versions_and_templates_are_bounded_and_what_is_refused_leaves_nothing(control_plane, templates, bound):
    bound("TEMPLATE_VERSIONS_MAX", 2)
    bound("TEMPLATES_PER_TENANT_MAX", 1)
    for text in ("one", "two"):
        await save(templates, text, publish=True)
    with pytest.raises(Conflict):
        await save(templates, "three", publish=True)
    with pytest.raises(Conflict):
        await save(templates, "one", "second")
    assert (await sent(control_plane), await templates.version(T, "second")) == ((2, "two"), None)
    await templates.save("other", "hello", source(), built(), "ada")
    await templates.remove(T, "hello")
    assert (await save(templates, "one", "second")).version == 1


async def test_writers_at_the_same_time_get_numbers_of_their_own(templates):
    stored = await asyncio.gather(*(save(templates, str(number), publish=True) for number in range(20)))
    assert sorted(one.version for one in stored) == list(range(1, 21))
    assert (await templates.current(T, "hello")).version == 20


async def test_another_tenant_sees_and_changes_nothing(control_plane, templates):
    await save(templates, "one", publish=True)
    other = "other"
    assert await templates.version(other, "hello") is await templates.current(other, "hello") is None
    assert (await templates.previous(other, "hello"), await templates.page(other, "", 9)) == (None, [])
    assert not await templates.remove(other, "hello")
    with pytest.raises(NotFound):
        await templates.publish(other, "hello", 1, built("evil"), "eve", "")
    await templates.rebuild(other, {("hello", 1): built("evil")})
    assert await lookups.template(control_plane.directory, other, "hello@1") is None
    assert await sent(control_plane) == (1, "one")


async def test_large_templates_make_short_pages(templates, bound):
    for key in "abc":
        await save(templates, "x" * 1_000, key)
    bound("TEMPLATES_PAGE_BYTES_MAX", 5_000)
    assert [one.key for one in await templates.page(T, "", 9)] == ["a", "b"]
    bound("TEMPLATES_PAGE_BYTES_MAX", 1)
    assert [one.key for one in await templates.page(T, "b", 9)] == ["c"]
    assert await templates.page(T, "c", 9) == []


async def test_a_definition_and_what_becomes_of_it_are_stored_together_or_not_at_all(control_plane, templates, bound):
    await save(templates, "one", publish=True)
    record = await templates.share(T, "layout", "plain", b'{"html":"1"}', {("hello", 1): built("with 1")})
    assert (record.version, await sent(control_plane)) == (1, (1, "with 1"))
    bound("DEFINITIONS_PER_KIND_MAX", 1)
    with pytest.raises(Conflict):
        await templates.share(T, "layout", "other", b'{"html":"2"}', {("hello", 1): built("with 2")})
    assert await definitions_of(control_plane.control, control_plane.clock).get(T, "layout", "other") is None
    assert await sent(control_plane) == (1, "with 1")

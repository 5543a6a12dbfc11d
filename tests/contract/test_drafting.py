"""Guarantees of building and rendering drafts, in this process or in a confined one."""

import asyncio
import os

import pytest

from clarion.app.processes import confined
from clarion.app.wiring.engines import template_engines
from clarion.content.build import build
from clarion.content.drafting import DirectDrafting
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.template import Brand, Layout, Partial, Sample, Source, Translation
from clarion.languages.confined.pool import ConfinedDrafting
from clarion.ports.drafting import BuildJob, RenderJob
from clarion.testing.lines import Lines

LIQUID = BuildJob(
    "order",
    Source(
        {
            Channel.EMAIL: {"subject": "{% t hello %}", "mjml": "<mj-text>{% partial lines %}</mj-text>"},
            Channel.PUSH: {"title": "{{ number }}", "data": {"deep": ["{{ number }}", 1, None, True]}},
        },
        category="orders",
        layout="plain",
        locales={
            "de": Translation({"hello": "Hallo {{ user.name }}"}),
            "en": Translation({"hello": "Hi {{ user.name }}"}),
        },
        text="{{ number }} of {{ brand.name }}",
        sample=Sample({"number": 1}),
    ),
    Layout(mjml="<mj-section><mj-column>{{ content }}</mj-column></mj-section>"),
    {"lines": Partial("{% for line in lines %}{{ line.name }} {{ line.price | money: 'EUR' }}{% endfor %}")},
    "acme",
)
HANDLEBARS = BuildJob("note", Source({Channel.SMS: {"body": "{{#each lines}}{{name}} {{/each}}"}}, engine="handlebars"))
DATA = {"number": 17, "lines": [{"name": "<Ä>", "price": 3.5}]}


@pytest.fixture(params=["direct", pytest.param("confined", marks=pytest.mark.slow)])
async def drafting(request):
    direct = request.param == "direct"
    made = DirectDrafting(template_engines()) if direct else ConfinedDrafting(confined.command(os.environ), Lines())
    yield made
    await made.close()


def render_of(template, *channels, locale="de-AT", data=DATA):
    user = {"name": "Ana", "locale": locale}
    return RenderJob(template, channels, data, user, locale, "Europe/Vienna", 0, Brand(name="Acme"), "en", "acme")


@pytest.mark.parametrize("job", [LIQUID, HANDLEBARS], ids=["liquid", "handlebars"])
async def test_a_source_is_built_as_it_is_anywhere(drafting, job):
    assert await drafting.build(job) == build(job, template_engines())


async def test_channels_are_rendered_in_the_locale_that_suits_best(drafting):
    rendered = await drafting.render(render_of(await drafting.build(LIQUID), Channel.EMAIL, Channel.PUSH, Channel.SMS))
    assert (rendered.locale, rendered.errors) == ("de", {})
    email, push, sms = rendered.parts.values()
    assert email["subject"] == "Hallo Ana"
    assert "&lt;Ä&gt; €\xa03,50" in email["html"]
    assert push == {"title": "17", "data": {"deep": ["17", 1, None, True]}}
    assert sms == {"body": "17 of Acme"}


async def test_faults_of_a_source_are_reported_by_field_and_code(drafting):
    bad = BuildJob("bad", Source({Channel.SMS: {"body": "line one\n{% if %}"}}))
    with pytest.raises(InvalidField, match="line 2") as error:
        await drafting.build(bad)
    assert (error.value.field, error.value.code) == ("channels.sms.body", "template_syntax")


async def test_a_channel_that_fails_does_so_alone(drafting):
    template = Template("x", 1, None, {Channel.SMS: {"body": "{{ none }}"}, Channel.CHAT: {"text": "fine"}})
    rendered = await drafting.render(render_of(template, Channel.SMS, Channel.CHAT, Channel.PUSH))
    assert rendered.parts == {Channel.CHAT: {"text": "fine"}}
    assert rendered.errors.keys() == {Channel.SMS, Channel.PUSH}


async def test_many_drafts_at_once_do_not_mix(drafting):
    template = await drafting.build(HANDLEBARS)
    jobs = [render_of(template, Channel.SMS, data={"lines": [{"name": str(n)}]}) for n in range(12)]
    rendered = await asyncio.gather(*map(drafting.render, jobs))
    assert [one.parts[Channel.SMS]["body"].strip() for one in rendered] == [str(n) for n in range(12)]

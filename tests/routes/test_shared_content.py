"""Layouts, partials and the brand over a real store: their effect on the templates that use them, and refusals."""

import pytest

from clarion.app.wiring.engines import template_engines
from clarion.content.drafting import DirectDrafting
from clarion.control.layouts.resource import LAYOUTS, LayoutBody
from clarion.domain.channel import Channel
from clarion.domain.errors import Conflict, InvalidField, NotFound
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.web import Call
from clarion.resources.changing import Changing
from clarion.resources.routes import Handlers
from tests import lookups
from tests.callers import by_key

FRAME = "<mjml><mj-body><mj-section><mj-column>{{ content }}</mj-column></mj-section></mj-body></mjml>"
MAIL = {"channels": {"email": {"subject": "s", "mjml": "<mj-text>Hi {{ name }}</mj-text>"}}, "layout": "house"}


async def refused(control_plane, method, target, body=None, kind=InvalidField):
    with pytest.raises(kind) as error:
        await control_plane.call(method, target, body)
    return error.value


async def html(control_plane, key, tenant="acme"):
    control_plane.settle()
    return (await lookups.template(control_plane.directory, tenant, key)).parts[Channel.EMAIL]["html"]


async def test_a_layout_is_stored_shown_listed_and_removed(control_plane):
    body = {
        "mjml": FRAME.replace("</mj-column>", "<mj-text>{% t bye %}</mj-text></mj-column>"),
        "text": "{{ content }}\n-- \n{% t bye %}",
        "locales": {"en": {"messages": {"bye": "Bye"}}, "pt_br": {"messages": {"bye": "Tchau"}}},
    }
    shown = await control_plane.say("PUT", "/v1/layouts/house", body)
    assert (shown["key"], shown["version"], shown["mjml"], shown["text"]) == ("house", 1, body["mjml"], body["text"])
    assert shown["locales"] == {"en": {"messages": {"bye": "Bye"}}, "pt-BR": {"messages": {"bye": "Tchau"}}}
    assert await control_plane.say("GET", "/v1/layouts/house") == shown
    assert (await control_plane.say("GET", "/v1/layouts"))["data"] == [shown]
    assert (await control_plane.call("DELETE", "/v1/layouts/house")).status == 204
    await refused(control_plane, "GET", "/v1/layouts/house", kind=NotFound)
    await refused(control_plane, "DELETE", "/v1/layouts/house", kind=NotFound)


async def test_a_change_of_layout_is_in_all_current_templates_that_use_it(control_plane):
    await control_plane.say("PUT", "/v1/layouts/house", {"mjml": FRAME})
    for key in ("a", "b"):
        await control_plane.say("PUT", f"/v1/templates/{key}", MAIL)
    await control_plane.say("PUT", "/v1/templates/c", {"channels": {"email": {"subject": "s", "html": "<p>c</p>"}}})
    await control_plane.say(
        "PUT", "/v1/layouts/house", {"mjml": FRAME.replace("{{ content }}", "<mj-text>TOP</mj-text>{{ content }}")}
    )
    for key in ("a", "b"):
        assert "TOP" in await html(control_plane, key) and "Hi {{ name }}" in await html(control_plane, key)
    assert await html(control_plane, "c") == "<p>c</p>"
    assert [(one["key"], one["version"]) for one in (await control_plane.say("GET", "/v1/templates"))["data"]] == [
        ("a", 1), ("b", 1), ("c", 1),
    ]  # fmt: skip


async def test_a_layout_with_which_a_template_could_not_be_built_is_not_stored(control_plane):
    await control_plane.say("PUT", "/v1/layouts/house", {"mjml": FRAME})
    await control_plane.say(
        "PUT", "/v1/templates/good", {**MAIL, "channels": {"email": {"subject": "s", "html": "<p>x</p>"}}}
    )
    await control_plane.say("PUT", "/v1/templates/mail", MAIL)
    before = await html(control_plane, "good"), await html(control_plane, "mail")
    error = await refused(control_plane, "PUT", "/v1/layouts/house", {"html": "<p>{{ content }}</p>"})
    assert error.code == "template_breaks" and "template mail " in error.detail
    assert (await control_plane.say("GET", "/v1/layouts/house"))["mjml"] == FRAME
    assert (await html(control_plane, "good"), await html(control_plane, "mail")) == before


async def test_a_change_of_a_partial_goes_through_layouts_and_other_partials(control_plane):
    await control_plane.say("PUT", "/v1/partials/inner", {"source": "ONE"})
    await control_plane.say("PUT", "/v1/partials/outer", {"source": "<b>{% partial inner %}</b>"})
    framed = FRAME.replace("{{ content }}", "{{ content }}<mj-text>{% partial outer %}</mj-text>")
    await control_plane.say("PUT", "/v1/layouts/house", {"mjml": framed})
    await control_plane.say("PUT", "/v1/templates/a", MAIL)
    assert "<b>ONE</b>" in await html(control_plane, "a")
    await control_plane.say("PUT", "/v1/partials/inner", {"source": "TWO"})
    assert "<b>TWO</b>" in await html(control_plane, "a")
    error = await refused(control_plane, "PUT", "/v1/partials/inner", {"source": "{% partial outer %}"})
    assert error.code == "partial_cycle"
    assert "<b>TWO</b>" in await html(control_plane, "a")


async def test_what_is_published_while_a_layout_changes_gets_it_too(control_plane):
    class Slow(DirectDrafting):
        async def build(self, job):
            if job.key == "a":
                await control_plane.say("PUT", "/v1/templates/late", MAIL)
            return await super().build(job)

    await control_plane.say("PUT", "/v1/layouts/house", {"mjml": FRAME})
    await control_plane.say("PUT", "/v1/templates/a", MAIL)
    documents = control_plane.control.documents
    changing = Changing(documents, control_plane.clock, Slow(template_engines()))
    changed = LayoutBody(mjml=FRAME.replace("{{ content }}", "{{ content }}<mj-text>NEW</mj-text>"))
    call = Call(by_key(), {"key": "house"}, {}, {}, b"", changed)
    await Handlers(LAYOUTS, documents, changing).put(call)
    assert "NEW" in await html(control_plane, "a") and "NEW" in await html(control_plane, "late")


async def test_what_is_used_stays(control_plane):
    await control_plane.say("PUT", "/v1/partials/foot", {"source": "bye"})
    await control_plane.say("PUT", "/v1/partials/more", {"source": "{% partial foot %}"})
    await control_plane.say(
        "PUT", "/v1/layouts/house", {"mjml": FRAME.replace("{{ content }}", "{{ content }}{% partial more %}")}
    )
    await control_plane.say("PUT", "/v1/templates/a", MAIL)
    for target in ("/v1/partials/foot", "/v1/partials/more", "/v1/layouts/house"):
        assert (await refused(control_plane, "DELETE", target, kind=Conflict)).code == "in_use"
    await control_plane.call("DELETE", "/v1/templates/a")
    for target in ("/v1/layouts/house", "/v1/partials/more", "/v1/partials/foot"):
        assert (await control_plane.call("DELETE", target)).status == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mjml": FRAME, "html": "{{ content }}"}, "html"),
        ({"mjml": "<mjml><mj-body></mj-body></mjml>"}, "mjml"),
        ({"mjml": FRAME.replace("{{ content }}", "{{ content }}{{ content }}")}, "mjml"),
        ({"mjml": FRAME, "text": "x"}, "text"),
        ({"mjml": FRAME.replace("{{ content }}", "{% if %}{{ content }}")}, "mjml"),
        ({"mjml": "<mjml><mj-body>{{ content }}<mj-section></mj-body></mjml>"}, "mjml"),
        ({"html": "<p>{{ content }}{% t no %}"}, "html"),
        ({"html": "{{ content }}", "text": "{{ content }}{% partial nope %}"}, "text"),
        ({"html": "{{ content }}", "locale": "xx-nope"}, "locale"),
        ({"html": "{{ content }}", "locales": {"qq": {}}}, "locales.qq"),
        ({"html": "{{ content }}", "locales": {"de": {"messages": {"a": "{{"}}}}, "locales.de.messages.a"),
        ({"html": "{{ content }}", "locales": {"de": {"channels": {"sms": {"body": "x"}}}}}, "locales.de.channels.sms"),
    ],
)
async def test_a_faulty_layout_is_not_stored(control_plane, body, field):
    assert (await refused(control_plane, "PUT", "/v1/layouts/house", body)).field == field
    await refused(control_plane, "GET", "/v1/layouts/house", kind=NotFound)


@pytest.mark.parametrize("source", ["{% if %}", "{% t %}", "{% partial nope %}", "{% partial p %}", "{% partial %}"])
async def test_a_faulty_partial_is_not_stored(control_plane, source):
    assert (await refused(control_plane, "PUT", "/v1/partials/p", {"source": source})).field == "source"
    await refused(control_plane, "GET", "/v1/partials/p", kind=NotFound)


async def test_a_partial_may_leave_messages_to_the_template_that_includes_it(control_plane):
    await control_plane.say("PUT", "/v1/partials/p", {"source": "{% t hi %}"})
    source = {"channels": {"sms": {"body": "{% partial p %}!"}}, "locales": {"en": {"messages": {"hi": "Hi"}}}}
    await control_plane.say("PUT", "/v1/templates/t", source)
    control_plane.settle()
    assert (await lookups.template(control_plane.directory, "acme", "t")).parts[Channel.SMS]["body"] == "Hi!"


async def test_a_brand_is_whole_and_is_read_as_it_was_written(control_plane):
    assert await control_plane.say("GET", "/v1/brand") == await control_plane.say("PUT", "/v1/brand", {})
    body = {
        "name": "Juniper",
        "logo_url": "https://example.com/l.png",
        "primary_color": "#08f",
        "reply_to": "a@Example.com",
    }
    shown = await control_plane.say("PUT", "/v1/brand", body)
    assert shown == {**shown, **body, "reply_to": "a@example.com"} and shown["surface_color"] == "#ffffff"
    assert await control_plane.say("GET", "/v1/brand") == shown
    assert (await control_plane.say("GET", "/v1/brand", tenant="other"))["name"] == ""
    control_plane.settle()
    assert (await lookups.definition(control_plane.directory, "acme", Brand, BRAND_KEY)).body == Brand(**shown)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("primary_color", "red"),
        ("primary_color", "#12345"),
        ("text_color", ""),
        ("font_family", ""),
        ("font_family", "x; color: red"),
        ("font_family", "'Inter'"),
        ("logo_url", "http://example.com/l.png"),
        ("logo_url", "javascript:alert(1)"),
        ("website_url", "https://"),
        ("support_email", "nobody"),
        ("reply_to", "a@b"),
        ("name", "a\r\nBcc: x@example.com"),
        ("name", "{{ user.id }}"),
        ("legal_address", "{% if x %}"),
        ("sender_name", "x" * 501),
    ],
)
async def test_a_faulty_brand_is_not_stored(control_plane, field, text):
    assert (await refused(control_plane, "PUT", "/v1/brand", {field: text})).field == field
    assert await control_plane.say("GET", "/v1/brand") == {
        name: getattr(Brand(), name) for name in Brand.__struct_fields__
    }


async def test_a_policy_names_the_locale_that_templates_fall_back_to(control_plane):
    assert (await control_plane.say("GET", "/v1/policy"))["locale"] == ""
    assert (await control_plane.say("PUT", "/v1/policy", {"locale": "pt_br"}))["locale"] == "pt-BR"
    assert (await control_plane.say("GET", "/v1/policy"))["locale"] == "pt-BR"
    assert (await refused(control_plane, "PUT", "/v1/policy", {"locale": "klingon"})).field == "locale"

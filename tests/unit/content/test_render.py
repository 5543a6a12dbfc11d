"""Contents over a directory of made-up templates: locales, brands, marks, and nothing stale."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from clarion.backends.handlebars.engine import HandlebarsRenderer
from clarion.backends.liquid.engine import LiquidRenderer
from clarion.content import gather as gathering
from clarion.content.compiled import render_job
from clarion.content.gather import Contents
from clarion.content.links import Links
from clarion.content.render import NotGathered, Rendering
from clarion.domain.channel import Channel
from clarion.domain.content import Template
from clarion.domain.planned import PlannedDelivery
from clarion.domain.policy import Policy
from clarion.domain.template import Brand
from clarion.ports.directory import Defined, DefinitionKey
from clarion.ports.drafting import RenderJob
from clarion.ports.renderer import Engines, RenderError

ENGINES = {"liquid": LiquidRenderer()}


class Shelf:
    """What `Contents` asks of a directory, and what it was asked for."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.held: dict[str, Template] = {}
        self.brand: Brand | None = None
        self.policy: Policy | None = None
        self.moves = 0

    def revision(self, tenant: str) -> int:
        return self.moves

    async def templates(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Template]:
        self.read += [key for _, key in names]
        return {name: self.held[name[1]] for name in names if name[1] in self.held}

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        held = {Brand: self.brand, Policy: self.policy}
        return {key: Defined(key[2], 1, held[key[1]]) for key in keys if held[key[1]] is not None}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def sms(body: str, version: int = 1, **more: Any) -> Template:
    return Template("note", version, None, {Channel.SMS: {"body": body}}, **more)


def gather(contents: Contents, *keys: str) -> None:
    asyncio.run(contents.gather([("acme", key) for key in keys or ("note",)], ["acme"]))


def gathered(shelf: Shelf, engines: Engines = ENGINES, links: Links | None = None) -> Contents:
    contents = Contents(shelf, engines, links)  # type: ignore[arg-type]
    gather(contents)
    return contents


def planned(locale: str = "", data: dict[str, Any] | None = None, **more: Any) -> PlannedDelivery:
    values = {"metadata": None, **more}
    return PlannedDelivery(
        bytes(24),
        "acme",
        "ada",
        "",
        locale,
        "note",
        "",
        data or {},
        None,
        1,
        None,
        ordering_key=None,
        chunk=None,
        **values,
    )


def said(contents: Contents, channel: Channel = Channel.SMS, locale: str = "", **data: Any) -> dict[str, Any]:
    return contents.render(planned(locale, data), channel)


def test_the_reader_gets_the_locale_that_suits_best(shelf):
    other = {"pt": {Channel.SMS: {"body": "Oi"}}, "es": {Channel.SMS: {"body": "Hola"}}}
    shelf.held["note"] = sms("Hi", locales=other)
    contents = gathered(shelf)
    assert [said(contents, locale=tag)["body"] for tag in ("pt-BR", "es", "fr", "en-GB", "")] == [
        "Oi", "Hola", "Hi", "Hi", "Hi",
    ]  # fmt: skip
    shelf.policy = Policy(locale="es-MX")
    shelf.moves += 1
    gather(contents)
    assert said(contents, locale="fr")["body"] == "Hola"


def test_a_new_version_is_seen_after_a_refresh_and_never_in_half(shelf):
    first = {Channel.EMAIL: {"subject": "v1", "text": "v1"}}
    shelf.held["note"] = Template("note", 1, None, first)
    contents = gathered(shelf)
    assert said(contents, Channel.EMAIL) == {"subject": "v1", "text": "v1"}
    shelf.held["note"] = Template("note", 2, None, {Channel.EMAIL: {"subject": "v2", "text": "v2"}})
    assert said(contents, Channel.EMAIL) == {"subject": "v1", "text": "v1"}
    shelf.moves += 1
    gather(contents)
    assert said(contents, Channel.EMAIL) == {"subject": "v2", "text": "v2"}


def test_the_same_words_in_another_engine_are_compiled_anew(shelf):
    contents = Contents(shelf, {"liquid": LiquidRenderer(), "handlebars": HandlebarsRenderer()})
    body = "{% if true %}{{ name }}{% endif %}"
    for engine, text in (("handlebars", "{% if true %}Ada{% endif %}"), ("liquid", "Ada")):
        shelf.held["note"] = sms(body, engine=engine)
        shelf.moves += 1
        gather(contents)
        assert said(contents, name="Ada") == {"body": text}


def test_a_brand_shows_in_text_and_html_and_a_change_shows_at_once(shelf):
    parts = {"subject": "{{ brand.name }}", "html": "<b style='color:{{brand.primary_color}}'>{{ brand.name }}</b>"}
    shelf.held["note"] = Template("note", 1, None, {Channel.EMAIL: parts})
    shelf.brand = Brand(name="A & B", primary_color="#123456", sender_name="Team A")
    contents = gathered(shelf)
    assert said(contents, Channel.EMAIL) == {
        "subject": "A & B",
        "html": "<b style='color:#123456'>A &amp; B</b>",
        "from_name": "Team A",
    }
    shelf.brand = Brand(name="C", primary_color="#000")
    shelf.moves += 1
    gather(contents)
    assert said(contents, Channel.EMAIL) == {"subject": "C", "html": "<b style='color:#000'>C</b>"}


def test_a_brand_in_a_condition_is_known_to_the_engine(shelf):
    shelf.held["note"] = sms("{% if brand.website_url != '' %}see {{ brand.website_url }}{% endif %}")
    shelf.brand = Brand(website_url="https://a.example")
    assert said(gathered(shelf))["body"] == "see https://a.example"


def test_data_is_data(shelf):
    shelf.held["note"] = sms("{{ name }} {{ brand.name }}")
    shelf.brand = Brand(name="{{ 7 | times: 7 }}")
    assert said(gathered(shelf), name="{{7*7}} {% assign x = 1 %}")["body"] == (
        "{{7*7}} {% assign x = 1 %} {{ 7 | times: 7 }}"
    )


@pytest.mark.parametrize("breaks", ["\r\n", "\n", "\r", "\u2028", "\x00"])
def test_data_brings_no_line_into_a_subject(shelf, breaks):
    shelf.held["note"] = Template("note", 1, None, {Channel.EMAIL: {"subject": "{{ x }}", "text": "t"}})
    with pytest.raises(RenderError, match=r"email\.subject"):
        said(gathered(shelf), Channel.EMAIL, x=f"a{breaks}Bcc: everyone@example.com")


def test_tests_are_marked(shelf):
    shelf.held["note"] = Template("note", 1, None, {Channel.PUSH: {"body": "b"}, Channel.SMS: {"body": "s"}})
    contents = gathered(shelf)
    metadata = {"clarion.test": "true"}
    for channel, body in ((Channel.PUSH, "[Test] b"), (Channel.SMS, "[Test] s")):
        assert contents.render(planned(metadata=metadata), channel) == {"body": body}
        assert contents.render(planned(metadata={"a": "b"}), channel) == {"body": body[7:]}


def test_long_links_of_an_sms_are_shortened_by_what_is_plugged_in(shelf):
    shelf.held["note"] = Template(
        "note", 1, None, {Channel.SMS: {"body": "See {{ url }}."}, Channel.PUSH: {"body": "See {{ url }}."}}
    )
    asked = []

    def links(tenant, link):
        asked.append((tenant, link))
        return "https://s.example/1"

    contents, long = gathered(shelf, links=links), "https://shop.example.com/orders/1234567890?utm=x"
    assert said(contents, url=long)["body"] == "See https://s.example/1."
    assert said(contents, Channel.PUSH, url=long)["body"] == f"See {long}."
    assert said(contents, url="https://a.example/1")["body"] == "See https://a.example/1."
    assert asked == [("acme", long)]


def test_what_is_not_there_is_an_error_of_this_notification_only(shelf):
    contents = gathered(shelf)
    with pytest.raises(RenderError, match="no template note"):
        said(contents)
    shelf.held["note"] = sms("Hi")
    shelf.moves += 1
    gather(contents)
    with pytest.raises(RenderError, match="no push part"):
        said(contents, Channel.PUSH)
    assert said(contents)["body"] == "Hi"


def test_a_job_tells_what_failed_and_renders_the_rest():
    template = Template("note", 0, None, {Channel.SMS: {"body": "{{ missing }}"}, Channel.PUSH: {"body": "fine"}})
    done = render_job(RenderJob(template, (Channel.SMS, Channel.PUSH), {}, {}, "de", "UTC", 0), ENGINES)
    assert done.parts == {Channel.PUSH: {"body": "fine"}}
    assert "missing" in done.errors[Channel.SMS]
    assert done.locale == "en"


@pytest.mark.parametrize(
    ("engine", "otherwise"),
    [
        ("liquid", "{% if brand.unsubscribe_url != '' %}yes{% endif %}"),
        ("handlebars", "{{#if brand.unsubscribe_url}}yes{{/if}}"),
    ],
)
@pytest.mark.parametrize("brand", [None, Brand(name="Shop")])
def test_a_template_can_link_to_unsubscribe(shelf, engine, otherwise, brand):
    engines = {"liquid": LiquidRenderer(), "handlebars": HandlebarsRenderer()}
    html = '<a href="{{ brand.unsubscribe_url }}">{{ brand.name }}</a>' + otherwise
    parts = {Channel.EMAIL: {"subject": "s", "html": html}}
    shelf.held["note"], shelf.brand = Template("note", 1, None, parts, engine=engine), brand
    contents = gathered(shelf, engines)
    name = brand.name if brand else ""
    for url, after in (("https://notify.example.com/v1/unsubscribe/A-_", "yes"), ("", "")):
        shown = contents.render(planned(), Channel.EMAIL, url)["html"]
        assert shown == f'<a href="{url}">{name}</a>{after}'


def test_rendering_reads_nothing(shelf):
    shelf.held["note"] = sms("Hi")
    contents = gathered(shelf)
    shelf.read.clear()
    assert (said(contents), said(contents, locale="de")) == ({"body": "Hi"},) * 2
    gather(contents)
    assert shelf.read == []


@pytest.mark.parametrize(
    ("tenants", "lacks"), [([], "house of tenant acme"), (["acme"], "template note of tenant acme")]
)
def test_rendering_what_was_not_gathered_is_a_fault_of_ours(shelf, tenants, lacks):
    shelf.held["note"] = sms("Hi")
    contents = Contents(shelf, ENGINES)  # type: ignore[arg-type]
    asyncio.run(contents.gather([] if tenants else [("acme", "note")], tenants))
    with pytest.raises(NotGathered, match=lacks):
        said(contents)
    assert not contents.holds("acme", "note")
    with pytest.raises(NotGathered, match="house of tenant acme"):
        Rendering(ENGINES).render_template("acme", sms("Hi"), Channel.SMS, {}, None, "", 0)


def test_what_one_gathered_is_there_while_another_gathers_what_changed(shelf):
    shelf.held |= {"note": sms("old"), "other": sms("Hi")}
    contents = gathered(shelf)
    shelf.held["note"] = sms("new", 2)
    shelf.moves += 1
    gather(contents, "other")
    assert not contents.holds("acme", "note")
    assert said(contents) == {"body": "old"}
    gather(contents)
    assert contents.holds("acme", "note")
    assert said(contents) == {"body": "new"}
    del shelf.held["note"]
    shelf.moves += 1
    gather(contents)
    with pytest.raises(RenderError, match="no template note"):
        said(contents)


def test_room_is_made_for_what_is_wanted_now(shelf, monkeypatch):
    monkeypatch.setattr(gathering, "COMPILED_TEMPLATES_MAX", 8)
    keys = [f"t{number}" for number in range(9)]
    shelf.held |= dict.fromkeys(keys, sms("Hi"))
    contents = Contents(shelf, ENGINES)  # type: ignore[arg-type]
    gather(contents, *keys[:8])
    gather(contents, keys[0], keys[8])
    assert [key for key in keys if contents.holds("acme", key)] == [keys[0], *keys[3:]]
    gather(contents, *keys)  # more at once than there is room for
    assert all(contents.holds("acme", key) for key in keys)

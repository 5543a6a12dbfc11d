"""Contents over a directory of made-up templates: locales, brands, marks, and nothing stale."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

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
from clarion.languages.handlebars.engine import HandlebarsRenderer
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.ports.directory import Defined, DefinitionKey
from clarion.ports.drafting import RenderJob
from clarion.ports.renderer import Engines, RenderError

ENGINES = {"liquid": LiquidRenderer()}


class StubDirectory:
    """The part of a directory that `Contents` uses, with a record of its calls."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.held: dict[str, Template] = {}
        self.brand: Brand | None = None
        self.policy: Policy | None = None
        self.moves = 0

    def revision(self, tenant: str) -> int:
        return self.moves

    def is_current(self) -> bool:
        return True

    async def templates(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Template]:
        self.read += [key for _, key in names]
        return {name: self.held[name[1]] for name in names if name[1] in self.held}

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        held = {Brand: self.brand, Policy: self.policy}
        return {key: Defined(key[2], 1, held[key[1]]) for key in keys if held[key[1]] is not None}


@pytest.fixture
def stub() -> StubDirectory:
    return StubDirectory()


def sms(body: str, version: int = 1, **more: Any) -> Template:
    return Template("note", version, None, {Channel.SMS: {"body": body}}, **more)


def gather(contents: Contents, *keys: str) -> None:
    asyncio.run(contents.gather([("acme", key) for key in keys or ("note",)], ["acme"]))


def gathered(stub: StubDirectory, engines: Engines = ENGINES, links: Links | None = None) -> Contents:
    contents = Contents(stub, engines, links)  # type: ignore[arg-type]
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


def rendered_text(contents: Contents, channel: Channel = Channel.SMS, locale: str = "", **data: Any) -> dict[str, Any]:
    return contents.render(planned(locale, data), channel)


def test_the_reader_gets_the_locale_that_suits_best(stub):
    other = {"pt": {Channel.SMS: {"body": "Oi"}}, "es": {Channel.SMS: {"body": "Hola"}}}
    stub.held["note"] = sms("Hi", locales=other)
    contents = gathered(stub)
    assert [rendered_text(contents, locale=tag)["body"] for tag in ("pt-BR", "es", "fr", "en-GB", "")] == [
        "Oi", "Hola", "Hi", "Hi", "Hi",
    ]  # fmt: skip
    stub.policy = Policy(locale="es-MX")
    stub.moves += 1
    gather(contents)
    assert rendered_text(contents, locale="fr")["body"] == "Hola"


def test_a_new_version_is_seen_after_a_refresh_and_never_in_half(stub):
    first = {Channel.EMAIL: {"subject": "v1", "text": "v1"}}
    stub.held["note"] = Template("note", 1, None, first)
    contents = gathered(stub)
    assert rendered_text(contents, Channel.EMAIL) == {"subject": "v1", "text": "v1"}
    stub.held["note"] = Template("note", 2, None, {Channel.EMAIL: {"subject": "v2", "text": "v2"}})
    assert rendered_text(contents, Channel.EMAIL) == {"subject": "v1", "text": "v1"}
    stub.moves += 1
    gather(contents)
    assert rendered_text(contents, Channel.EMAIL) == {"subject": "v2", "text": "v2"}


def test_the_same_text_in_another_engine_is_compiled_anew(stub):
    contents = Contents(stub, {"liquid": LiquidRenderer(), "handlebars": HandlebarsRenderer()})
    body = "{% if true %}{{ name }}{% endif %}"
    for engine, text in (("handlebars", "{% if true %}Ada{% endif %}"), ("liquid", "Ada")):
        stub.held["note"] = sms(body, engine=engine)
        stub.moves += 1
        gather(contents)
        assert rendered_text(contents, name="Ada") == {"body": text}


def test_a_brand_shows_in_text_and_html_and_a_change_shows_at_once(stub):
    parts = {"subject": "{{ brand.name }}", "html": "<b style='color:{{brand.primary_color}}'>{{ brand.name }}</b>"}
    stub.held["note"] = Template("note", 1, None, {Channel.EMAIL: parts})
    stub.brand = Brand(name="A & B", primary_color="#123456", sender_name="Team A")
    contents = gathered(stub)
    assert rendered_text(contents, Channel.EMAIL) == {
        "subject": "A & B",
        "html": "<b style='color:#123456'>A &amp; B</b>",
        "from_name": "Team A",
    }
    stub.brand = Brand(name="C", primary_color="#000")
    stub.moves += 1
    gather(contents)
    assert rendered_text(contents, Channel.EMAIL) == {"subject": "C", "html": "<b style='color:#000'>C</b>"}


def test_a_brand_in_a_condition_is_known_to_the_engine(stub):
    stub.held["note"] = sms("{% if brand.website_url != '' %}see {{ brand.website_url }}{% endif %}")
    stub.brand = Brand(website_url="https://a.example")
    assert rendered_text(gathered(stub))["body"] == "see https://a.example"


def test_data_is_data(stub):
    stub.held["note"] = sms("{{ name }} {{ brand.name }}")
    stub.brand = Brand(name="{{ 7 | times: 7 }}")
    assert rendered_text(gathered(stub), name="{{7*7}} {% assign x = 1 %}")["body"] == (
        "{{7*7}} {% assign x = 1 %} {{ 7 | times: 7 }}"
    )


@pytest.mark.parametrize("breaks", ["\r\n", "\n", "\r", "\u2028", "\x00"])
def test_data_adds_no_line_to_a_subject(stub, breaks):
    stub.held["note"] = Template("note", 1, None, {Channel.EMAIL: {"subject": "{{ x }}", "text": "t"}})
    with pytest.raises(RenderError, match=r"email\.subject"):
        rendered_text(gathered(stub), Channel.EMAIL, x=f"a{breaks}Bcc: everyone@example.com")


def test_tests_are_marked(stub):
    stub.held["note"] = Template("note", 1, None, {Channel.PUSH: {"body": "b"}, Channel.SMS: {"body": "s"}})
    contents = gathered(stub)
    metadata = {"clarion.test": "true"}
    for channel, body in ((Channel.PUSH, "[Test] b"), (Channel.SMS, "[Test] s")):
        assert contents.render(planned(metadata=metadata), channel) == {"body": body}
        assert contents.render(planned(metadata={"a": "b"}), channel) == {"body": body[7:]}


def test_long_links_of_an_sms_are_shortened_by_the_plugin(stub):
    stub.held["note"] = Template(
        "note", 1, None, {Channel.SMS: {"body": "See {{ url }}."}, Channel.PUSH: {"body": "See {{ url }}."}}
    )
    asked = []

    def links(tenant, link):
        asked.append((tenant, link))
        return "https://s.example/1"

    contents, long = gathered(stub, links=links), "https://shop.example.com/orders/1234567890?utm=x"
    assert rendered_text(contents, url=long)["body"] == "See https://s.example/1."
    assert rendered_text(contents, Channel.PUSH, url=long)["body"] == f"See {long}."
    assert rendered_text(contents, url="https://a.example/1")["body"] == "See https://a.example/1."
    assert asked == [("acme", long)]


def test_a_missing_template_fails_only_its_notification(stub):
    contents = gathered(stub)
    with pytest.raises(RenderError, match="no template note"):
        rendered_text(contents)
    stub.held["note"] = sms("Hi")
    stub.moves += 1
    gather(contents)
    with pytest.raises(RenderError, match="no push part"):
        rendered_text(contents, Channel.PUSH)
    assert rendered_text(contents)["body"] == "Hi"


def test_a_job_reports_failures_and_renders_the_rest():
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
def test_a_template_can_link_to_unsubscribe(stub, engine, otherwise, brand):
    engines = {"liquid": LiquidRenderer(), "handlebars": HandlebarsRenderer()}
    html = '<a href="{{ brand.unsubscribe_url }}">{{ brand.name }}</a>' + otherwise
    parts = {Channel.EMAIL: {"subject": "s", "html": html}}
    stub.held["note"], stub.brand = Template("note", 1, None, parts, engine=engine), brand
    contents = gathered(stub, engines)
    name = brand.name if brand else ""
    for url, after in (("https://notify.example.com/v1/unsubscribe/A-_", "yes"), ("", "")):
        shown = contents.render(planned(), Channel.EMAIL, url)["html"]
        assert shown == f'<a href="{url}">{name}</a>{after}'


def test_rendering_reads_nothing(stub):
    stub.held["note"] = sms("Hi")
    contents = gathered(stub)
    stub.read.clear()
    assert (rendered_text(contents), rendered_text(contents, locale="de")) == ({"body": "Hi"},) * 2
    gather(contents)
    assert stub.read == []


@pytest.mark.parametrize(
    ("tenants", "lacks"), [([], "context of tenant acme"), (["acme"], "template note of tenant acme")]
)
def test_rendering_without_gathering_is_a_bug(stub, tenants, lacks):
    stub.held["note"] = sms("Hi")
    contents = Contents(stub, ENGINES)  # type: ignore[arg-type]
    asyncio.run(contents.gather([] if tenants else [("acme", "note")], tenants))
    with pytest.raises(NotGathered, match=lacks):
        rendered_text(contents)
    assert not contents.holds("acme", "note")
    with pytest.raises(NotGathered, match="context of tenant acme"):
        Rendering(ENGINES).render_template("acme", sms("Hi"), Channel.SMS, {}, None, "", 0)


def test_gathered_contents_stay_while_changes_are_gathered(stub):
    stub.held |= {"note": sms("old"), "other": sms("Hi")}
    contents = gathered(stub)
    stub.held["note"] = sms("new", 2)
    stub.moves += 1
    gather(contents, "other")
    assert not contents.holds("acme", "note")
    assert rendered_text(contents) == {"body": "old"}
    gather(contents)
    assert contents.holds("acme", "note")
    assert rendered_text(contents) == {"body": "new"}
    del stub.held["note"]
    stub.moves += 1
    gather(contents)
    with pytest.raises(RenderError, match="no template note"):
        rendered_text(contents)


def test_the_cache_evicts_for_current_templates(stub, monkeypatch):
    monkeypatch.setattr(gathering, "COMPILED_TEMPLATES_MAX", 8)
    keys = [f"t{number}" for number in range(9)]
    stub.held |= dict.fromkeys(keys, sms("Hi"))
    contents = Contents(stub, ENGINES)  # type: ignore[arg-type]
    gather(contents, *keys[:8])
    gather(contents, keys[0], keys[8])
    assert [key for key in keys if contents.holds("acme", key)] == [keys[0], *keys[3:]]
    gather(contents, *keys)  # more at once than there is room for
    assert all(contents.holds("acme", key) for key in keys)

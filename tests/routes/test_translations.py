"""Translations over the routes: exported files are imported as drafts, and a refused import stores nothing."""

import polib
import pytest

from clarion.domain.errors import Forbidden, InvalidField, Malformed, NotFound, TooLarge
from clarion.domain.limits_content import TRANSLATIONS_BYTES_MAX
from clarion.ports.web import Call
from tests.callers import by_key
from tests.contract.controls import ControlPlane
from tests.registries import templates_of

ORDER = {
    "channels": {
        "sms": {"body": "{% t hello %} {% t things, count: order.size %}"},
        "inapp": {"title": "{% t hello %}"},
    },
    "locales": {
        "en": {
            "messages": {
                "hello": "Hello {{ user.name }}",
                "things": {"one": "one thing", "other": "{{ order.size }} things"},
            }
        },
        "de": {"messages": {"hello": "Hallo {{ user.name }}"}},
    },
}
ONE = "/v1/templates/order/translations"


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await control_plane.call("PUT", "/v1/tenants/acme", {"name": "Acme"})
    await control_plane.call("PUT", "/v1/templates/order", ORDER)
    yield control_plane
    await control_plane.close()


async def send(control_plane, target, raw, pieces=3, **query):
    """Put a file as the HTTP layer does: in chunks."""
    route, path = control_plane.find("PUT", target)

    async def stream():
        step = max(1, len(raw) // pieces)
        for start in range(0, len(raw), step):
            yield raw[start : start + step]

    caller = by_key()
    return (await route.handler(Call(caller, path, query, {}, b"", stream=stream()))).body


async def fetch(control_plane, locale, **query):
    return (await control_plane.call("GET", f"{ONE}/{locale}", **query)).raw


def filled(raw, **texts):
    """Return a PO file with texts inserted as a translator's tool does."""
    file = polib.pofile(raw.decode())
    for entry in file:
        text = texts.get(entry.msgctxt)
        if isinstance(text, str):
            entry.msgstr = text
        elif text:
            entry.msgstr_plural = dict(enumerate(text))
    return str(file).encode()


async def test_a_report_shows_what_is_translated(control_plane):
    found = await control_plane.say("GET", ONE)
    assert (found["key"], found["version"], found["locale"]) == ("order", 1, "en")
    assert (found["locales"]["de"]["present"], found["locales"]["de"]["missing"]) == (["hello"], ["things"])


async def test_the_tenant_sees_what_is_missing_where(control_plane):
    await control_plane.call("PUT", "/v1/templates/bye", {"channels": {"sms": {"body": "Bye"}}})
    found = await control_plane.say("GET", "/v1/translations")
    assert found == {
        "locales": ["de", "en"],
        "templates": 2,
        "missing": [
            {"template": "bye", "locale": "de", "all": True, "messages": []},
            {"template": "order", "locale": "de", "all": False, "messages": ["things"]},
        ],
    }
    swiss = await control_plane.say("GET", "/v1/translations", locale="de-CH")
    assert [(one["template"], one["all"]) for one in swiss["missing"]] == [("bye", True), ("order", False)]
    assert (await control_plane.say("GET", "/v1/translations", locale="en-GB"))["missing"] == []
    await control_plane.call("PUT", "/v1/policy", {"locale": "fr"})
    assert (await control_plane.say("GET", "/v1/translations"))["locales"] == ["de", "en", "fr"]
    with pytest.raises(InvalidField):
        await control_plane.call("GET", "/v1/translations", locale="xx")


@pytest.mark.parametrize("form", ["xliff", "po"])
async def test_what_is_exported_changes_nothing_when_it_is_imported(control_plane, form):
    reply = await control_plane.call("GET", f"{ONE}/de", format=form)
    assert ".de." in reply.headers["content-disposition"]
    done = await send(control_plane, f"{ONE}/de", reply.raw, format=form)
    assert (done.version, done.status, done.changed) == (1, "published", ())
    assert (await control_plane.say("GET", "/v1/templates/order/versions"))["data"][0]["version"] == 1


async def test_a_file_becomes_a_draft_and_is_sent_once_it_is_published(control_plane):
    raw = filled(await fetch(control_plane, "ru", format="po"), hello="Привет, {{ user.name }}",
                 things=["{{ order.size }} вещь", "{{ order.size }} вещи", "{{ order.size }} вещей", "{{ order.size }} вещи"])  # fmt: skip
    done = await send(control_plane, f"{ONE}/ru", raw, format="po")
    assert (done.version, done.status, done.missing) == (2, "draft", ())
    assert "ru" not in (await templates_of(control_plane.control).get("acme", "order")).locales
    done = await send(control_plane, f"{ONE}/ru", await fetch(control_plane, "ru"), publish="true")
    assert (done.version, done.status, done.changed) == (2, "published", ())
    sent = await templates_of(control_plane.control).get("acme", "order")
    assert "вещей" in sent.locales["ru"]["sms"]["body"]
    found = await control_plane.say("GET", "/v1/templates/order/versions/2")
    assert (found["note"], found["created_by"]) == ("translated: ru", "key")


@pytest.mark.parametrize(
    ("locale", "form", "change", "field"),
    [
        ("de", "po", {"hello": "Hallo"}, "hello"),
        ("de", "po", {"hello": "Hallo {{ user.name }} {{ user.email }}"}, "hello"),
        ("de", "po", {"things": ["eins", "viele"]}, "things[other]"),
        ("de", "po", {"hello": "Hallo {{ user.name }} {{"}, "locales.de.messages.hello"),
        ("en", "po", {}, "locale"),
        ("xx", "po", {}, "locale"),
        ("de", "csv", {}, "format"),
    ],
)
async def test_a_bad_file_is_refused_by_its_unit_and_nothing_is_stored(control_plane, locale, form, change, field):
    raw = filled(await fetch(control_plane, "de", format="po"), **change)
    with pytest.raises(InvalidField) as refused:
        await send(control_plane, f"{ONE}/{locale}", raw, format=form)
    assert refused.value.field == field
    assert (await control_plane.say("GET", "/v1/templates/order"))["version"] == 1
    assert (await control_plane.say("GET", "/v1/templates/order/versions"))["data"][0]["version"] == 1


async def test_files_in_another_language_too_large_or_hostile_are_refused(control_plane):
    with pytest.raises(InvalidField, match="the file is in es"):
        await send(control_plane, f"{ONE}/de", await fetch(control_plane, "es"))
    regional = (await fetch(control_plane, "de")).replace(b'"de"', b'"de-DE"')
    assert (await send(control_plane, f"{ONE}/de", regional)).changed == ()
    with pytest.raises(TooLarge):
        await send(control_plane, f"{ONE}/de", b" " * (TRANSLATIONS_BYTES_MAX + 1))
    with pytest.raises(Malformed):
        await send(
            control_plane, f"{ONE}/de", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><xliff>&e;</xliff>'
        )
    with pytest.raises(Malformed):
        await send(control_plane, f"{ONE}/de", b"")
    with pytest.raises(InvalidField):
        await send(control_plane, f"{ONE}/de", await fetch(control_plane, "de"), publish="maybe")


async def test_templates_without_messages_and_none_at_all_are_not_found(control_plane):
    await control_plane.call("PUT", "/v1/templates/bye", {"channels": {"sms": {"body": "Bye"}}})
    for target in ("bye/translations/de", "none/translations/de", "none/translations"):
        with pytest.raises(NotFound):
            await control_plane.call("GET", f"/v1/templates/{target}")


async def test_another_tenant_sees_nothing_of_it(control_plane):
    await control_plane.call("PUT", "/v1/tenants/other", {"name": "Other"})
    with pytest.raises(NotFound):
        await control_plane.call("GET", f"{ONE}/de", tenant="other")
    assert (await control_plane.say("GET", "/v1/translations", tenant="other"))["templates"] == 0


async def test_importing_as_the_current_version_needs_the_permission_to_publish(control_plane):
    route, path = control_plane.find("PUT", f"{ONE}/de")
    translator = by_key(permissions={"translations:write"})
    with pytest.raises(Forbidden, match="templates:publish"):
        await route.handler(Call(translator, path, {"publish": "true"}, {}, b""))

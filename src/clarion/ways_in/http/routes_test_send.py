"""Test sends of a template: one message to one address, through the same pipeline as every message, marked as a test
for the recipient."""

from typing import Annotated, Any, Final

import msgspec

from clarion.accept.intake import Intake
from clarion.accept.shapes import IdempotencyKey, Key, NotificationIn, NotificationOut, RecipientIn
from clarion.accept.submissions import NotificationTest
from clarion.content.render import TEST_MARK
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits import ADDRESS_CHARS_MAX
from clarion.domain.locales import LOCALE_CHARS_MAX
from clarion.domain.template import TemplateVersion, VersionNumber
from clarion.ports.control_content import TemplateVersions
from clarion.ports.web import Call, Reply, Route
from clarion.ways_in.http.routes_once import answer, key_of

_CONTACT: Final = {Channel.SMS: "phone"}
"""Names of contacts that differ from their channel's."""


class SendTestIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The destination: a stored `user`, or an `address` of the channel. Without `data` the template's sample data is
    used; for an address, the user's attributes also come from the sample. `version` defaults to the newest one, drafts
    included."""

    channel: Channel
    address: Annotated[str, msgspec.Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)] | None = None
    user: Key | None = None
    data: dict[str, Any] | None = None
    locale: Annotated[str, msgspec.Meta(max_length=LOCALE_CHARS_MAX)] = ""
    version: VersionNumber | None = None
    idempotency_key: IdempotencyKey | None = None


class _Handlers:
    def __init__(self, intake: Intake, templates: TemplateVersions) -> None:
        self._intake = intake
        self._templates = templates

    async def send(self, call: Call) -> Reply:
        body: SendTestIn = call.body
        name, tenant = call.path["key"], call.caller.tenant
        tested = await self._templates.version(tenant, name, body.version)
        if tested is None:
            if body.version is None:
                raise NotFound("no such template")
            raise NotFound("no such version", field="version")

        key = key_of(call, body.idempotency_key)
        try:
            return answer(
                await self._intake.submit(call.caller, _notification(body, tested), key, may_wait_ms=call.may_wait_ms)
            )
        except InvalidField as error:
            raise _named(error, body) from None


def _notification(body: SendTestIn, tested: TemplateVersion) -> NotificationIn | NotificationTest:
    sample = tested.source.sample
    notification = NotificationIn(
        to=_recipient(body, sample.user),
        template=f"{tested.key}@{tested.version}",
        channels=[body.channel],
        data=sample.data if body.data is None else body.data,
        metadata={TEST_MARK: "true"},
    )
    return notification if body.user is not None else NotificationTest(notification, sample.user or None)


def _recipient(body: SendTestIn, sample: dict[str, Any]) -> RecipientIn:
    if (body.address is None) == (body.user is None):
        raise InvalidField("needs exactly one of address and user", field="address")
    if body.user is not None:
        if body.locale:
            raise InvalidField("goes with an address only; a user has a locale", field="locale")
        return RecipientIn(user_id=body.user)
    if body.channel is Channel.INAPP:
        raise InvalidField("an inbox belongs to a user: name one", field="user")
    locale = body.locale or _text(sample.get("locale"), LOCALE_CHARS_MAX)
    contact = {_CONTACT.get(body.channel, body.channel.value): body.address}
    return msgspec.convert({**contact, "locale": locale, "zone": _text(sample.get("zone"), 64)}, RecipientIn)


def _text(value: Any, chars_max: int) -> str:
    return value if isinstance(value, str) and len(value) <= chars_max else ""


def _named(error: InvalidField, body: SendTestIn) -> InvalidField:
    """Return the error with the field of the notification replaced by the field of the test body."""
    field = error.field or ""
    if field == "to.locale":
        field = "locale"
    elif field == "to" or field.startswith("to."):
        field = "user" if body.user is not None else "address"
    elif field == "channels":
        field = "channel"
    return InvalidField(error.detail, field=field or None, code=error.code)


def routes(intake: Intake, templates: TemplateVersions) -> list[Route]:
    """Return the endpoint of test sends."""
    do = _Handlers(intake, templates)
    return [
        Route("POST", "/v1/templates/{key}/test", do.send, "templates:send", "Send a template to an address, as a test",
              body=SendTestIn, reply=NotificationOut, status=202, tag="templates", idempotency_key=True),
    ]  # fmt: skip

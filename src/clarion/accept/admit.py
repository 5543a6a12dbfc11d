"""Turns a body into a `Request`, with the tenant's definitions."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from clarion.accept.definitions import Definitions, first_send
from clarion.accept.rules import check
from clarion.accept.rules.attachments import attachments
from clarion.accept.shapes import AttachmentIn, AudienceIn, BroadcastIn, NotificationIn, RecipientIn
from clarion.domain import address
from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.content import Category
from clarion.domain.errors import CallerError, InvalidField
from clarion.domain.limits import CANCELLATION_KEY_CHARS_MAX, KEY_CHARS_MAX, ORDERING_KEY_CHARS_MAX, RECIPIENTS_MAX
from clarion.domain.locales import check_language
from clarion.domain.workflow import Workflow
from clarion.journal.events import Audience, BroadcastJob, Recipient, Request
from clarion.ports.schemas import Schemas

_JSON: Final = msgspec.json.Encoder()


class _Content(NamedTuple):
    """The template or workflow to send: its category, the variables it needs, and the requested channels. With a
    `schema`, the request's data goes to a template unchanged and must satisfy it."""

    category: str | None
    variables: Sequence[str]
    template: str = ""
    channels: list[str] | None = None
    workflow: str = ""
    version: int = 0
    schema: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """Its name in error messages."""
        return f"template {self.template!r}" if self.template else f"workflow {self.workflow!r}"


class ParsedBody(NamedTuple):
    """A body and its parsed recipients, so that their users can be looked up concurrently with everything else; with a
    `refusal` there are no recipients."""

    body: NotificationIn
    to: list[Recipient]
    refusal: CallerError | None = None


class RequestChecks:
    """Checks bodies of one tenant. The definitions must include all that the bodies name and imply. Raises
    `InvalidField` naming the field."""

    def __init__(self, definitions: Definitions, schemas: Schemas, now_ms: int) -> None:
        self._definitions = definitions
        self._schemas = schemas
        self._now_ms = now_ms

    def notification(self, one: ParsedBody) -> Request:
        """Return the request of a notification. The caller checks whether its users exist, for many requests at
        once."""
        body, recipients, refusal = one
        if refusal is not None:
            raise refusal
        check.header_text(body.ordering_key, "ordering_key", ORDERING_KEY_CHARS_MAX)
        if body.ordering_key is not None and len(recipients) > 1:
            raise InvalidField("takes a single recipient", field="ordering_key")
        check.header_text(body.cancellation_key, "cancellation_key", CANCELLATION_KEY_CHARS_MAX)
        request = self._request(body, recipients, body.ordering_key, body.cancellation_key)
        if not body.attachments:
            return request
        if request.workflow:
            raise InvalidField("go with a template only, not with a workflow", field="attachments")
        files = [_file(one) for one in body.attachments]
        return msgspec.structs.replace(request, attachments=attachments(files, len(recipients)))

    def broadcast(self, body: BroadcastIn) -> BroadcastJob:
        """Return the job of a broadcast."""
        audience = self._audience(body.audience)
        request = self._request(body, [])
        if body.local_time is not None:
            when = check.local_time(body.local_time, body.send_at, request.expires_ms, self._now_ms)
            audience = msgspec.structs.replace(audience, local_ms=when.local_ms)
            request = msgspec.structs.replace(request, send_at_ms=when.first_ms)
        return BroadcastJob(audience, request)

    def _request(
        self,
        body: NotificationIn | BroadcastIn,
        recipients: list[Recipient],
        ordering_key: str | None = None,
        cancellation_key: str | None = None,
    ) -> Request:
        content = self._content(body)
        category = self._category(body.category or content.category)
        check.data(body.data, content.variables, content.name)
        check.size(_JSON.encode(body.data), len(recipients))
        if content.schema is not None:
            self._check_schema(content.schema, body.data)
        check.metadata(body.metadata)
        when = check.times(body.send_at, body.expires_at, self._now_ms)
        return Request(
            to=recipients,
            template=content.template,
            category=category.key if category else None,
            channels=content.channels,
            lane=check.lane(category, body.priority),
            data=body.data,
            send_at_ms=when.send_at_ms,
            expires_ms=when.expires_ms,
            ordering_key=ordering_key,
            metadata=body.metadata,
            workflow=content.workflow,
            workflow_version=content.version,
            cancellation_key=cancellation_key,
        )

    def _audience(self, audience: AudienceIn) -> Audience:
        topic, segment = audience.topic, audience.segment
        if audience.all + (topic is not None) + (segment is not None) != 1:
            raise InvalidField("needs exactly one of 'all': true, 'topic' and 'segment'", field="audience")
        if topic is not None and topic not in self._definitions.topics:
            raise InvalidField(f"unknown topic {topic!r}", field="audience.topic", code="unknown_topic")
        if segment is None:
            return Audience(topic)
        defined = self._definitions.segments.get(segment)
        if defined is None:
            raise InvalidField(f"unknown segment {segment!r}", field="audience.segment", code="unknown_segment")
        return Audience(segment=segment, filter=_JSON.encode(defined.body.filter))

    def _content(self, body: NotificationIn | BroadcastIn) -> _Content:
        if (body.template is None) == (body.workflow is None):
            raise InvalidField("needs exactly one of template and workflow", field="template")
        if body.workflow is not None:
            return self._workflow(body.workflow, body.channels)
        template = self._definitions.templates.get(body.template or "")
        if template is None:
            raise InvalidField(f"unknown template {body.template!r}", field="template", code="unknown_template")
        channels = check.channels(template, body.channels)
        return _Content(
            template.category, template.variables, template=template.key, channels=channels, schema=template.schema
        )

    def _workflow(self, key: str, channels: Sequence[Channel] | None) -> _Content:
        if channels is not None:
            raise InvalidField("goes with template only; the steps of a workflow have their own", field="channels")
        defined = self._definitions.workflows.get(key)
        if defined is None:
            raise InvalidField(f"unknown workflow {key!r}", field="workflow", code="unknown_workflow")
        workflow = defined.body
        schema = self._schema_of_first(workflow)
        return _Content(workflow.category, workflow.variables, workflow=key, version=defined.version, schema=schema)

    def _schema_of_first(self, workflow: Workflow) -> dict[str, Any] | None:
        """Return the schema that the trigger's data has to satisfy: that of the first step's template if the step sends
        just this data, else None."""
        first = first_send(workflow)
        template = None if first is None else self._definitions.templates.get(first.template)
        return None if template is None else template.schema

    def _check_schema(self, schema: dict[str, Any], data: dict[str, Any]) -> None:
        fault = self._schemas.check(schema, data)
        if fault is not None:
            raise InvalidField(fault.detail, field=f"data.{fault.path}" if fault.path else "data")

    def _category(self, key: str | None) -> Category | None:
        if not key:
            return None
        category = self._definitions.categories.get(key)
        if category is None:
            raise InvalidField(f"unknown category {key!r}", field="category", code="unknown_category")
        return category


def parse_body(body: NotificationIn) -> ParsedBody:
    """Return a body with its recipients, each once."""
    try:
        return ParsedBody(body, _recipients(body.to))
    except CallerError as refusal:
        return ParsedBody(body, [], refusal)


def _recipients(to: str | RecipientIn | list[str | RecipientIn]) -> list[Recipient]:
    if not isinstance(to, list):
        return [_recipient(to, "to")]
    if not 1 <= len(to) <= RECIPIENTS_MAX:
        raise InvalidField(f"takes 1 to {RECIPIENTS_MAX} recipients", field="to")
    listed = [_recipient(one, f"to[{index}]") for index, one in enumerate(to)]
    unique = {one.user_id or msgspec.msgpack.encode(one.contacts): one for one in listed}
    return list(unique.values())


def _recipient(to: str | RecipientIn, field: str) -> Recipient:
    if isinstance(to, str):
        return Recipient(user_id=address.identifier(to, field))
    given = {name: getattr(to, name) for name in check.CONTACTS}
    if to.user_id is not None:
        if any(value is not None for value in given.values()):
            raise InvalidField("takes either a user_id or contacts", field=field)
        return Recipient(user_id=address.identifier(to.user_id, f"{field}.user_id"))
    check_language(to.locale, f"{field}.locale")
    address.single_line(to.zone, f"{field}.zone", KEY_CHARS_MAX)
    return Recipient(contacts=check.contacts(given, field), locale=to.locale, zone=to.zone)


def _file(given: AttachmentIn) -> Attachment:
    return Attachment(
        given.filename, given.content_type or "", given.content, given.url or "", given.inline_cid or ""
    )  # fmt: skip


def partition_key(request: Request) -> str:
    """Return the key that determines the journal partition: the first recipient's user id or first address."""
    first = request.to[0]
    return first.user_id or next(iter((first.contacts or {}).values()))


def users_of(bodies: Iterable[ParsedBody]) -> set[str]:
    """Return the user ids that bodies name."""
    return {to.user_id for one in bodies for to in one.to if to.user_id}


def field_of_user(request: Request, unknown: set[str]) -> str | None:
    """Return the field path of the first unknown user, or None when all users exist."""
    for index, to in enumerate(request.to):
        if to.user_id in unknown:
            return "to" if len(request.to) == 1 else f"to[{index}]"
    return None


def unknown_user(request: Request, unknown: set[str]) -> InvalidField:
    """Return the error that names the first unknown user of a request that has one."""
    name = next(to.user_id for to in request.to if to.user_id in unknown)
    return InvalidField(f"unknown user {name!r}", field=field_of_user(request, unknown), code="unknown_user")

"""An example of each route: values for its path, and a body that is right in itself. A new route needs an entry here."""

from typing import Any, NamedTuple

import msgspec

UNKNOWN_ID = "f" * 32


class Example(NamedTuple):
    """A path with values for its parameters, in order of their names in `values`, and the JSON of a body. `upserts` is
    whether a request with another path creates a thing of the caller's own. `raw` is a body that is not
    JSON, `query` a query that the route needs."""

    values: dict[str, str]
    body: Any = None
    upserts: bool = False
    raw: bytes | None = None
    query: str = ""

    @property
    def sent(self) -> bytes | None:
        """Return the bytes of the body, None without one."""
        if self.raw is not None:
            return self.raw
        return None if self.body is None else msgspec.json.encode(self.body)


def _at(**values: str) -> Example:
    return Example(values)


NOTIFICATION = {"to": "ada", "template": "note", "channels": ["sms"], "data": {"text": "x"}}
_EVENT = {"type": "order.paid", "data": {}}
_DEVICE = {"channel": "push", "token": "t" * 32}
_WORKFLOW = {"steps": [{"kind": "delay", "name": "rest", "for": "1h"}]}
_SCHEDULE = {"to": {"user_id": "ada"}, "cron": "0 9 * * *", "template": "note", "data": {"text": "x"}}
_RULE = {"event": "x", "notify": [{"to": "'ada'", "template": "note"}]}
_ID = _at(id=f"ntf_{UNKNOWN_ID}")
_BROADCAST = _at(id=f"brd_{UNKNOWN_ID}")
_INBOX = _at(id=f"ntf_{UNKNOWN_ID}{'f' * 16}")
_USER, _THING, _TEMPLATE, _PROVIDER = _at(id="ada"), _at(key="thing"), _at(key="note"), _at(name="phone")
_TENANT, _KEY = _at(id="acme"), _at(id="acme", key_id="key_" + "f" * 12)
_PO = b'msgid ""\nmsgstr ""\n"Language: de\\n"\n'

EXAMPLES: dict[tuple[str, str], Example] = {
    ("POST", "/v1/notifications"): Example({}, NOTIFICATION),
    ("POST", "/v1/notifications/batch"): Example({}, {"notifications": [NOTIFICATION]}),
    ("POST", "/v1/notifications/{id}/cancel"): _ID,
    ("POST", "/v1/notifications/{id}/withdraw"): _ID,
    ("POST", "/v1/notifications/cancel"): Example({}, {"cancellation_key": "k"}),
    ("POST", "/v1/broadcasts"): Example({}, {"audience": {"all": True}, "template": "note", "data": {"text": "x"}}),
    ("POST", "/v1/broadcasts/{id}/pause"): _BROADCAST,
    ("POST", "/v1/broadcasts/{id}/resume"): _BROADCAST,
    ("POST", "/v1/broadcasts/{id}/cancel"): _BROADCAST,
    ("POST", "/v1/broadcasts/{id}/withdraw"): _BROADCAST,
    ("POST", "/v1/templates/{key}/test"): Example(
        {"key": "note"}, {"channel": "sms", "user": "ada", "data": {"text": "x"}}
    ),
    ("POST", "/v1/events"): Example({}, _EVENT),
    ("POST", "/v1/events/dry-run"): Example({}, _EVENT),
    ("POST", "/v1/notifications/explain"): Example({}, NOTIFICATION),
    ("GET", "/v1/notifications/{id}/explain"): _ID,
    ("GET", "/v1/notifications/{id}"): _ID,
    ("GET", "/v1/notifications"): _at(),
    ("GET", "/v1/broadcasts/{id}"): _BROADCAST,
    ("GET", "/v1/broadcasts/{id}/deliveries"): _BROADCAST,
    ("GET", "/v1/dead-letters"): _at(),
    ("GET", "/v1/dead-letters/{id}"): _at(id=f"dlv_{UNKNOWN_ID}{'f' * 16}"),
    ("POST", "/v1/dead-letters/replay"): Example({}, {"ids": [f"dlv_{UNKNOWN_ID}{'f' * 16}"]}),
    ("GET", "/v1/sandbox/messages"): _at(),
    ("GET", "/v1/counters"): _at(),
    ("GET", "/v1/inbox"): _at(),
    ("GET", "/v1/inbox/counts"): _at(),
    ("POST", "/v1/live/tickets"): _at(),
    ("POST", "/v1/inbox/read-all"): _at(),
    ("POST", "/v1/inbox/{id}/seen"): _INBOX,
    ("POST", "/v1/inbox/{id}/read"): _INBOX,
    ("POST", "/v1/inbox/{id}/unread"): _INBOX,
    ("POST", "/v1/inbox/{id}/archive"): _INBOX,
    ("POST", "/v1/inbox/{id}/unarchive"): _INBOX,
    ("DELETE", "/v1/inbox/{id}"): _INBOX,
    ("POST", "/v1/inbox/marks"): Example({}, {"action": "seen", "all": True}),
    ("POST", "/v1/notifications/{id}/seen"): Example({"id": f"ntf_{UNKNOWN_ID}"}, {"user_id": "ada"}),
    ("POST", "/v1/unsubscribe/{token}"): Example({"token": "x"}, raw=b"List-Unsubscribe=One-Click"),
    ("GET", "/v1/unsubscribe/{token}"): _at(token="x"),
    ("POST", "/v1/receipts/{tenant}/{provider}"): Example({"tenant": "acme", "provider": "phone"}, {}),
    ("GET", "/v1/receipts/{tenant}/{provider}"): _at(tenant="acme", provider="phone"),
    ("GET", "/v1/tenants"): _at(),
    ("PUT", "/v1/tenants/{id}"): Example({"id": "acme"}, {"name": "Acme"}, upserts=True),
    ("GET", "/v1/tenants/{id}"): _TENANT,
    ("POST", "/v1/tenants/{id}/keys"): Example({"id": "acme"}, {"scopes": ["users:read"]}),
    ("GET", "/v1/tenants/{id}/keys"): _TENANT,
    ("DELETE", "/v1/tenants/{id}/keys/{key_id}"): _KEY,
    ("GET", "/v1/tenants/{id}/keys/{key_id}"): _KEY,
    ("PUT", "/v1/tenants/{id}/keys/{key_id}/networks"): _KEY._replace(body={"networks": ["192.0.2.0/24"]}),
    ("POST", "/v1/tenants/{id}/keys/{key_id}/rotate"): _KEY._replace(body={"overlap_s": 60}),
    ("POST", "/v1/keys/current/rotate"): Example({}, {"overlap_s": 60}),
    ("GET", "/v1/roles"): _at(),
    ("PUT", "/v1/roles/{key}"): Example({"key": "thing"}, {"permissions": ["topics:read"]}, upserts=True),
    ("GET", "/v1/roles/{key}"): _THING,
    ("DELETE", "/v1/roles/{key}"): _THING,
    ("GET", "/v1/audit"): _at(),
    ("GET", "/v1/operators/audit"): _at(),
    ("GET", "/v1/members"): _at(),
    ("PUT", "/v1/members/{key}"): Example({"key": "thing"}, {"role": "auditor"}),
    ("GET", "/v1/members/{key}"): _THING,
    ("DELETE", "/v1/members/{key}"): _THING,
    ("GET", "/v1/session"): _at(),
    ("DELETE", "/v1/session"): _at(),
    ("POST", "/v1/session/tenant"): Example({}, {"tenant": "acme"}),
    ("GET", "/v1/sessions"): _at(),
    ("DELETE", "/v1/sessions/{id}"): _at(id="thing"),
    ("POST", "/v1/invitations"): Example({}, {"email": "bea@example.com", "role": "auditor"}),
    ("GET", "/v1/invitations"): _at(),
    ("DELETE", "/v1/invitations/{id}"): _at(id="thing"),
    ("POST", "/v1/tenants/{id}/invitations"): Example({"id": "acme"}, {"email": "cy@example.com"}),
    ("GET", "/v1/operators"): _at(),
    ("DELETE", "/v1/operators/{id}"): _at(id="thing"),
    ("POST", "/v1/operators/invitations"): Example({}, {"email": "dot@example.com"}),
    ("POST", "/v1/operators/resets"): Example({}, {"email": "nobody@example.com"}),
    ("GET", "/sign-in"): _at(),
    ("POST", "/sign-in"): Example({}, raw=b"email=a&password=b"),
    ("POST", "/sign-in/code"): Example({}, raw=b"code=123456"),
    ("POST", "/sign-out"): Example({}, raw=b"csrf=x"),
    ("GET", "/sign-in/with/{provider}"): _at(provider="x"),
    ("GET", "/sign-in/with/{provider}/callback"): _at(provider="x"),
    ("GET", "/tenant"): _at(),
    ("POST", "/tenant"): Example({}, raw=b"tenant=acme"),
    ("GET", "/invitations/{token}"): _at(token="x"),
    ("POST", "/invitations/{token}"): Example({"token": "x"}, raw=b"name=a"),
    ("GET", "/reset/{token}"): _at(token="x"),
    ("POST", "/reset/{token}"): Example({"token": "x"}, raw=b"password=a"),
    ("GET", "/account"): _at(),
    ("POST", "/account/sessions"): Example({}, raw=b"csrf=x"),
    ("POST", "/account/password"): Example({}, raw=b"csrf=x"),
    ("GET", "/account/authenticator"): _at(),
    ("POST", "/account/authenticator"): Example({}, raw=b"csrf=x"),
    ("POST", "/account/authenticator/remove"): Example({}, raw=b"csrf=x"),
    ("POST", "/v1/users/tokens/rotate-key"): Example({}, {"overlap_s": 60}),
    ("GET", "/v1/preferences/defaults"): _at(),
    ("PUT", "/v1/preferences/defaults"): Example({}, {}),
    ("PUT", "/v1/tenants/{id}/quota"): Example({"id": "acme"}, {"daily": 100_000}),
    ("GET", "/v1/tenants/{id}/quota"): _TENANT,
    ("PUT", "/v1/tenants/{id}/keys/{key_id}/quota"): _KEY._replace(body={"daily": 100_000}),
    ("GET", "/v1/tenants/{id}/keys/{key_id}/quota"): _KEY,
    ("POST", "/v1/users/bulk"): Example({}, raw=b'{"id": "bob"}\n'),
    ("GET", "/v1/users"): _at(),
    ("PUT", "/v1/users/{id}"): Example({"id": "thing"}, {"email": "t@example.com"}, upserts=True),
    ("GET", "/v1/users/{id}"): _USER,
    ("DELETE", "/v1/users/{id}"): _at(id="thing"),
    ("PUT", "/v1/users/{id}/preferences"): Example({"id": "ada"}, {"news": {"email": False}}),
    ("GET", "/v1/users/{id}/preferences"): _USER,
    ("PUT", "/v1/users/{id}/quiet-hours"): Example({"id": "ada"}, {"windows": []}),
    ("GET", "/v1/users/{id}/quiet-hours"): _USER,
    ("DELETE", "/v1/users/{id}/quiet-hours"): _USER,
    ("PUT", "/v1/me/preferences"): Example({}, {"news": {"email": False}}),
    ("GET", "/v1/me/preferences"): _at(),
    ("PUT", "/v1/me/quiet-hours"): Example({}, {"windows": []}),
    ("GET", "/v1/me/quiet-hours"): _at(),
    ("GET", "/v1/me/categories"): _at(),
    ("DELETE", "/v1/me/quiet-hours"): _at(),
    ("GET", "/v1/users/{id}/consents"): _USER,
    ("PUT", "/v1/users/{id}/devices/{device_id}"): Example({"id": "ada", "device_id": "thing"}, _DEVICE),
    ("DELETE", "/v1/users/{id}/devices/{device_id}"): _at(id="ada", device_id="thing"),
    ("POST", "/v1/users/{id}/tokens"): Example({"id": "ada"}, {}),
    ("PUT", "/v1/origins"): Example({}, {"origins": ["https://app.example.com"]}),
    ("GET", "/v1/origins"): _at(),
    ("GET", "/v1/topics"): _at(),
    ("PUT", "/v1/topics/{key}"): Example({"key": "thing"}, {"name": "n"}, upserts=True),
    ("GET", "/v1/topics/{key}"): _THING,
    ("DELETE", "/v1/topics/{key}"): _THING,
    ("POST", "/v1/topics/{key}/members"): Example({"key": "fans"}, {"user_ids": ["ada"]}),
    ("DELETE", "/v1/topics/{key}/members"): Example({"key": "fans"}, {"user_ids": ["ada"]}),
    ("GET", "/v1/topics/{key}/members"): _at(key="fans"),
    ("POST", "/v1/segments/preview"): Example({}, {"filter": {"locale": "de"}}),
    ("PUT", "/v1/segments/{key}"): Example({"key": "thing"}, {"filter": {"locale": "de"}}, upserts=True),
    ("GET", "/v1/segments/{key}/preview"): _THING,
    ("GET", "/v1/segments"): _at(),
    ("GET", "/v1/segments/{key}"): _THING,
    ("DELETE", "/v1/segments/{key}"): _THING,
    ("POST", "/v1/schedules/preview"): Example({}, {"cron": "0 9 * * *"}),
    ("PUT", "/v1/schedules/{key}"): Example({"key": "thing"}, _SCHEDULE, upserts=True),
    ("POST", "/v1/schedules/{key}/pause"): _THING,
    ("POST", "/v1/schedules/{key}/resume"): _THING,
    ("GET", "/v1/schedules"): _at(),
    ("GET", "/v1/schedules/{key}"): _THING,
    ("DELETE", "/v1/schedules/{key}"): _THING,
    ("PUT", "/v1/event-rules/{key}"): Example({"key": "thing"}, _RULE, upserts=True),
    ("GET", "/v1/event-rules"): _at(),
    ("GET", "/v1/event-rules/{key}"): _THING,
    ("DELETE", "/v1/event-rules/{key}"): _THING,
    ("GET", "/v1/workflows/schema"): _at(),
    ("PUT", "/v1/workflows/{key}"): Example({"key": "thing"}, _WORKFLOW, upserts=True),
    ("GET", "/v1/workflows"): _at(),
    ("GET", "/v1/workflows/{key}"): _THING,
    ("DELETE", "/v1/workflows/{key}"): _THING,
    ("GET", "/v1/categories"): _at(),
    ("PUT", "/v1/categories/{key}"): Example({"key": "thing"}, {}, upserts=True),
    ("GET", "/v1/categories/{key}"): _THING,
    ("DELETE", "/v1/categories/{key}"): _THING,
    ("PUT", "/v1/policy"): Example({}, {}),
    ("GET", "/v1/policy"): _at(),
    ("PUT", "/v1/brand"): Example({}, {"name": "Acme"}),
    ("GET", "/v1/brand"): _at(),
    ("PUT", "/v1/layouts/{key}"): Example({"key": "thing"}, {"html": "<p>{{ content }}</p>"}, upserts=True),
    ("GET", "/v1/layouts"): _at(),
    ("GET", "/v1/layouts/{key}"): _THING,
    ("DELETE", "/v1/layouts/{key}"): _THING,
    ("PUT", "/v1/partials/{key}"): Example({"key": "thing"}, {"source": "x"}, upserts=True),
    ("GET", "/v1/partials"): _at(),
    ("GET", "/v1/partials/{key}"): _THING,
    ("DELETE", "/v1/partials/{key}"): _THING,
    ("GET", "/v1/templates"): _at(),
    ("PUT", "/v1/templates/{key}"): Example({"key": "thing"}, {"channels": {"sms": {"body": "x"}}}, upserts=True),
    ("GET", "/v1/templates/{key}"): _TEMPLATE,
    ("DELETE", "/v1/templates/{key}"): _THING,
    ("GET", "/v1/templates/{key}/versions"): _TEMPLATE,
    ("GET", "/v1/templates/{key}/versions/{version}"): _at(key="note", version="1"),
    ("GET", "/v1/templates/{key}/diff"): _TEMPLATE,
    ("POST", "/v1/templates/{key}/publish"): Example({"key": "note"}, {"version": 1}),
    ("POST", "/v1/templates/{key}/rollback"): Example({"key": "note"}, {"version": 1}),
    ("GET", "/v1/translations"): _at(),
    ("GET", "/v1/templates/{key}/translations"): _TEMPLATE,
    ("GET", "/v1/templates/{key}/translations/{locale}"): _at(key="note", locale="de"),
    ("PUT", "/v1/templates/{key}/translations/{locale}"): Example({"key": "note", "locale": "de"}, raw=_PO),
    ("POST", "/v1/templates/{key}/preview"): Example({"key": "note"}, {"data": {"text": "x"}}),
    ("GET", "/v1/providers"): _at(),
    ("PUT", "/v1/providers/{name}"): Example({"name": "thing"}, {"channel": "sms", "vendor": "sandbox"}, upserts=True),
    ("GET", "/v1/providers/{name}"): _PROVIDER,
    ("DELETE", "/v1/providers/{name}"): _at(name="thing"),
    ("GET", "/v1/suppressions"): _at(),
    ("POST", "/v1/suppressions"): Example({}, {"channel": "email", "address": "x@example.com"}),
    ("DELETE", "/v1/suppressions"): Example({}, query="channel=email&address=x%40example.com"),
    ("GET", "/v1/providers/{name}/health"): _PROVIDER,
    ("POST", "/v1/providers/{name}/reset"): _PROVIDER,
    ("GET", "/healthz"): _at(),
    ("GET", "/readyz"): _at(),
    ("GET", "/metrics"): _at(),
    ("GET", "/openapi.json"): _at(),
    ("GET", "/docs"): _at(),
}

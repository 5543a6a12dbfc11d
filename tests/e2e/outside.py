"""Clarion over HTTP: a small client that hides nothing, tenants set up over the API, and waiting."""

import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlencode

from clarion.domain.limits_processes import REVISION_CHECK_MS

HOST = "127.0.0.1"
CALL_TIMEOUT_S = 30.0
WAIT_S = 20.0
POLL_S = 0.03
AT_REST = {"sent", "delivered", "failed", "dead", "expired", "skipped", "cancelled", "merged"}
CHANNELS = ("email", "sms", "push", "webpush", "whatsapp", "chat", "inapp", "webhook")
PROBLEM = "application/problem+json"
_NUMBERS = itertools.count(1)


class Answer(NamedTuple):
    """A response; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """A client of one address with one credential. `call` returns any response; the verbs raise unless it is a success."""

    def __init__(self, port: int, key: str = "") -> None:
        self.port = port
        self.key = key

    def with_key(self, key: str) -> Self:
        return type(self)(self.port, key)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Make one call on a connection of its own. Bytes go out as they are, an iterator of them chunked, without a
        Content-Length; anything else as JSON."""
        sent = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        if body is not None and not isinstance(body, (bytes, Iterator)):
            body = json.dumps(body).encode()
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(HOST, self.port, timeout=CALL_TIMEOUT_S)
        target = f"{path}?{urlencode(query)}" if query else path
        try:
            # A body can be refused while it is being sent; the response has arrived by then.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body, sent | dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def _good(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = self.call(method, path, body, **more)
        assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {answer.body[:500]!r}"
        return answer.json if answer.body else None

    def get(self, path: str, **query: Any) -> Any:
        return self._good("GET", path, query=query)

    def put(self, path: str, body: Any) -> Any:
        return self._good("PUT", path, body)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self._good("POST", path, body, **more)

    def delete(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._good("DELETE", path, body, query=query)

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Yield the items of all pages."""
        while True:
            page = self.get(path, **query)
            yield from page["data"]
            if page["next"] is None:
                return
            query["after"] = page["next"]

    def refused(self, status: int, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Make a call that must be refused with a complete problem document; return the document."""
        answer = self.call(method, path, body, **more)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.body[:500]!r}"
        assert answer.headers["content-type"] == PROBLEM
        problem = answer.json
        assert problem["status"] == status
        assert problem["type"] == f"urn:clarion:{problem['code']}"
        assert problem["title"]
        assert problem["detail"]
        return problem


class Tenant(Api):
    """A client of a new tenant with a key for everything, and shorthands for common calls."""

    name = ""

    def seed_data(self, templates: Mapping[str, Any], channels: Iterable[str] = CHANNELS) -> Self:
        """Store templates (channel to parts) and a sandbox provider for each channel but in-app."""
        for key, parts in templates.items():
            self.put(f"/v1/templates/{key}", {"channels": parts})
        for channel in channels:
            if channel != "inapp":
                self.sandbox(channel)
        return self

    def sandbox(self, channel: str, **settings: Any) -> None:
        body = {"channel": channel, "vendor": "sandbox", "settings": settings}
        self.put(f"/v1/providers/sandbox-{channel}", body)

    def changed(self) -> None:
        """Wait until no process uses older definitions any more: no signal exists, but the delay has a bound."""
        time.sleep(1.5 * REVISION_CHECK_MS / 1000)

    def user(self, user_id: str, **facts: Any) -> str:
        self.put(f"/v1/users/{quote(user_id, safe='')}", facts)
        return user_id

    def inbox_of(self, user_id: str) -> Api:
        """Return a client with a user's own token."""
        return Api(self.port, self.post(f"/v1/users/{user_id}/tokens", {})["token"])

    def send(self, to: Any, template: str, data: Any = None, **more: Any) -> str:
        """Send one notification; return its id."""
        return self.post("/v1/notifications", {"to": to, "template": template, "data": data or {}, **more})["id"]

    def seen(self, id_: str) -> dict[str, Any]:
        return self.get(f"/v1/notifications/{id_}")

    def ended(self, id_: str, wait_s: float = WAIT_S) -> dict[str, Any]:
        """Return the notification once every delivery is at rest."""
        return until(lambda: ended(self.seen(id_)), f"{id_} at rest", wait_s)

    def send_and_wait(self, to: Any, template: str, data: Any = None, **more: Any) -> dict[str, Any]:
        """Send one notification and return it once every delivery is at rest."""
        return self.ended(self.send(to, template, data, **more))

    def captured(self, **query: Any) -> list[dict[str, Any]]:
        return list(self.pages("/v1/sandbox/messages", **query))


def ended(notification: dict[str, Any]) -> dict[str, Any] | None:
    """Return the notification if all its deliveries are final or wait for an account to be repaired, else None."""
    deliveries = notification["deliveries"]
    rests = notification["status"] in ("completed", "cancelled") or any(waits(one) for one in deliveries)
    return notification if rests and all(one["state"] in AT_REST or waits(one) for one in deliveries) else None


def waits(delivery: dict[str, Any]) -> bool:
    """Return whether a delivery waits for an account that does not work."""
    return delivery["state"] == "retrying" and delivery["reason"] in ("misconfigured", "provider_down")


def until(probe: Callable[[], Any], what: str, wait_s: float = WAIT_S) -> Any:
    """Return the result of the probe as soon as it is true. Raises `AssertionError` after `wait_s`."""
    deadline = time.monotonic() + wait_s
    while not (found := probe()):
        assert time.monotonic() < deadline, f"{what}: not within {wait_s:g} s"
        time.sleep(POLL_S)
    return found


def new_tenant(operator: Api, name: str = "", scopes: Iterable[str] = ("*",)) -> Tenant:
    """Create a tenant that no other test uses."""
    id_ = f"{name or 't'}-{next(_NUMBERS)}"
    operator.put(f"/v1/tenants/{id_}", {"name": id_})
    made = operator.post(f"/v1/tenants/{id_}/keys", {"name": "test", "scopes": list(scopes)})
    tenant = Tenant(operator.port, made["key"])
    tenant.name = id_
    return tenant


def one(items: Iterable[Any]) -> Any:
    """Return the only item."""
    (item,) = items
    return item

"""The whole API over real stores, called as an ASGI server calls it, without a socket."""

import asyncio
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from clarion.app.config.loading import load
from clarion.app.routes import all_routes, ops
from clarion.app.wiring.parts import Shared, identity_of
from clarion.app.wiring.stores import in_files
from clarion.domain.security_events import SecurityEvent
from clarion.edge.connections import Connections
from clarion.identity.operator_keys import OperatorKeys
from clarion.identity.user_tokens import UserTokens
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.outbound.secrets.master_key import FileVault
from clarion.runtime.clock import SystemClock
from clarion.stores.sqlite.migrate import NAMES
from clarion.ways_in.http.application import application
from clarion.ways_in.http.origins import Origins
from tests.stores import prepared

OPERATOR_KEY = "clo_" + "o" * 43
ENDS_CREDENTIALS = {"/v1/keys/current/rotate", "/v1/users/tokens/rotate-key"}
"""Routes that may end credentials of their caller's tenant."""
WEBHOOK_SECRET = "whsec_" + "A" * 44


class Answer(NamedTuple):
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Api:
    """An installation's API in this process, with two tenants that have equal definitions."""

    def __init__(self, data_dir, *, confined=True, settings_file=None, egress=None) -> None:
        prepared(data_dir, *NAMES)
        clock = SystemClock()
        environment = {
            "CLARION_DATA_DIR": str(data_dir),
            "CLARION_API_LINGER_MS": "0",
            "CLARION_JOURNAL_PARTITIONS": "2",
            "CLARION_API_MAX_REQUESTS": "100",
            "CLARION_API_LIMITS_REFUSED_KEYS": "0",
        }
        settings = load(settings_file, {**environment, "CLARION_CONTENT_CONFINED": str(confined).lower()})
        telemetry, vault = ProcessTelemetry(Metrics()), FileVault.load(data_dir)
        self.parts = Shared(settings, clock, telemetry, vault, in_files(settings, clock, vault, telemetry))
        if egress is not None:
            self.parts.http = lambda: egress  # type: ignore[method-assign]
        self.routes = [*all_routes.routes(self.parts), *ops.routes(self.parts, Connections())]
        self.tokens = UserTokens(self.parts.vault)
        self.failures: list[str] = []
        self.parts.telemetry.log = self._log
        self.events: list[tuple[SecurityEvent, dict[str, Any]]] = []
        self.parts.telemetry.security = lambda event, **fields: self.events.append((event, fields))
        self.identity = identity = identity_of(self.parts, OperatorKeys(OPERATOR_KEY))
        self.app = application(
            self.routes,
            identity,
            self.parts.telemetry,
            api=settings.api,
            quotas=self.parts.directory.quotas,
            on_durability_lost=lambda error: None,
            origins=Origins(self.parts.directory, settings.public_url),
        )
        self.keys: dict[str, str] = {}
        self.people: dict[str, Any] = {}

    def _log(self, level: str, event: str, **fields: Any) -> None:
        self.failures.append(f"{level} {event} {fields}")

    async def seed_data(self) -> None:
        """Create tenants `acme` and `other`, each with a user, a topic, a category, templates and providers."""
        for tenant in ("acme", "other"):
            await self.ok("PUT", f"/v1/tenants/{tenant}", {}, key=OPERATOR_KEY)
            made = await self.ok("POST", f"/v1/tenants/{tenant}/keys", {"scopes": ["*"]}, key=OPERATOR_KEY)
            self.keys[tenant] = key = made.json["key"]
            await self.ok("PUT", "/v1/categories/news", {}, key=key)
            await self.ok("PUT", "/v1/topics/fans", {}, key=key)
            await self.ok("PUT", "/v1/users/ada", {"email": "ada@example.com"}, key=key)
            await self.ok("PUT", "/v1/templates/note", {"channels": {"sms": {"body": "{{ data.text }}"}}}, key=key)
            await self.ok("PUT", "/v1/providers/phone", {"channel": "sms", "vendor": "sandbox"}, key=key)

    async def ok(self, *call: Any, **options: Any) -> Answer:
        """Make a call. Raises `AssertionError` unless it succeeds."""
        answer = await self.call(*call, **options)
        assert answer.status < 300, answer
        return answer

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "acme",
        headers: Iterable[tuple[bytes, bytes]] = (),
        pieces: Iterable[bytes] | None = None,
        client: str | None = "127.0.0.1",
    ) -> Answer:
        """Make one call; `key` is a tenant's name, that of somebody who is signed in, a credential or None, `path` as on the wire, with its query,
        `client` the address it comes from."""
        credential = self.keys.get(key, key) if key else None
        if key in self.people:
            sent_by = self.people[key]
            await sent_by.renew()
            answer = await self.call(
                method, path, body, key=None, headers=[*headers, *sent_by.headers()], pieces=pieces, client=client
            )
            sent_by.take(answer)
            return answer
        wire_path, _, query = path.partition("?")
        sent = list(headers)
        if credential is not None:
            sent.append((b"authorization", b"Bearer " + credential.encode()))
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": unquote(wire_path),
            "raw_path": wire_path.encode(), "query_string": query.encode(), "headers": sent, "scheme": "http",
            "root_path": "", "server": ("127.0.0.1", 80), "client": client and (client, 1),
        }  # fmt: skip
        parts = iter(pieces if pieces is not None else (raw,))
        answers: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            part = next(parts, None)
            if pieces is not None:
                await asyncio.sleep(0)  # as a server, which reads from a socket between two pieces
            if part is None:
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.request", "body": part, "more_body": pieces is not None}

        async def send(message: dict[str, Any]) -> None:
            answers.append(message)

        await self.app(scope, receive, send)
        start, *rest = answers
        fields = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        cookies = tuple(value.decode() for name, value in start["headers"] if name == b"set-cookie")
        return Answer(start["status"], fields, b"".join(message.get("body", b"") for message in rest), cookies)

    async def close(self) -> None:
        """Close the stores."""
        await self.parts.close()

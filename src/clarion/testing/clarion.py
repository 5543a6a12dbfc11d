"""The installation under test."""

from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from clarion.app.routes.all_routes import routes
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.duration import duration_ms
from clarion.domain.ids import BROADCAST_PREFIX
from clarion.domain.message import HttpRequest
from clarion.testing.api import Api
from clarion.testing.clock import SetClock, instant, instant_ms
from clarion.testing.installation import Installation
from clarion.testing.loop import LoneLoop
from clarion.testing.sending import Delivery, Sent
from clarion.testing.turning import Turns

T = TypeVar("T")
Body = dict[str, Any] | Path
"""A body of the API, or a file that holds one: JSON, or TOML when its name ends in `.toml`."""
Outcome = Literal["refused", "invalid_recipient", "transient", "throttled", "ambiguous", "misconfigured"]

TENANT: Final = "testing"


class Clarion:
    """One installation with one tenant. Times are RFC 3339 texts; durations are texts such as `2m`, `1h30m` or `3w`.

    Due work is done at once; later work is done by `run` and `run_for`. Every method raises the `CallerError` with
    which the API would respond.
    """

    def __init__(self, start: str = "2026-01-01T00:00:00Z") -> None:
        self._start_ms = instant_ms(start)

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="clarion-")
        self._loop = LoneLoop()
        self._clock = SetClock(self._loop, self._start_ms)
        self._parts = Installation(Path(self._folder.name), self._clock)
        self._sent = Sent(self._clock)
        self._api = Api(routes(self._parts), TENANT)
        self._scripts: dict[Channel, dict[str, Any]] = {}
        self._turns = Turns(self._parts, self._clock, self._sent)
        self.call("PUT", f"/v1/tenants/{TENANT}", {"name": "Testing"})
        for channel in CHANNELS:
            if channel is not Channel.INAPP:
                self._put_provider(channel, {})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait(self._close())
        finally:
            self._loop.close()
            self._folder.cleanup()

    async def _close(self) -> None:
        await self._turns.close()
        await self._parts.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def call(self, method: str, path: str, body: Body | None = None, *, user: str | None = None, **query: str) -> Any:
        """Call any endpoint of the API, do the work that is due, and return the decoded response. With `user`, the call
        has that user's token (inbox, own preferences). Other names are query parameters."""
        return self._wait(self._called(method, path, body, user, query))

    async def _called(self, method: str, path: str, body: Body | None, user: str | None, query: dict[str, str]) -> Any:
        answer = await self._api.call(method, path, body, user, query)
        await self._turns.settle()
        return answer

    # Definitions: `PUT` calls of the API, each with the API's body.

    def put_user(self, user_id: str, body: Body) -> None:
        """Create or replace a user: contacts, devices, locale, zone, attributes, topics."""
        self.call("PUT", f"/v1/users/{user_id}", body)

    def put_preferences(self, user_id: str, body: Body) -> None:
        """Replace a user's preferences: for each category, channels with true or false."""
        self.call("PUT", f"/v1/users/{user_id}/preferences", body)

    def put_quiet_hours(self, user_id: str, body: Body) -> None:
        """Replace a user's own quiet hours."""
        self.call("PUT", f"/v1/users/{user_id}/quiet-hours", body)

    def put_category(self, key: str, body: Body) -> None:
        """Create or replace a category."""
        self.call("PUT", f"/v1/categories/{key}", body)

    def put_template(self, key: str, body: Body) -> None:
        """Store a template as its next version."""
        self.call("PUT", f"/v1/templates/{key}", body)

    def put_workflow(self, key: str, body: Body) -> None:
        """Store a workflow as its next version."""
        self.call("PUT", f"/v1/workflows/{key}", body)

    def put_event_rule(self, key: str, body: Body) -> None:
        """Create or replace an event rule."""
        self.call("PUT", f"/v1/event-rules/{key}", body)

    def put_schedule(self, key: str, body: Body) -> None:
        """Create or replace a schedule."""
        self.call("PUT", f"/v1/schedules/{key}", body)

    def put_segment(self, key: str, body: Body) -> None:
        """Create or replace a segment."""
        self.call("PUT", f"/v1/segments/{key}", body)

    def put_topic(self, key: str, body: Body | None = None) -> None:
        """Create or rename a topic; users join it with the `topics` of their body."""
        self.call("PUT", f"/v1/topics/{key}", body or {})

    def put_policy(self, body: Body) -> None:
        """Replace the tenant's quiet hours, zone and caps."""
        self.call("PUT", "/v1/policy", body)

    # Requests and events.

    def notify(self, to: Any, **body: Any) -> str:
        """Send a notification (`workflow` or `template`, `data`, `category`, ...) and return its id."""
        return str(self.call("POST", "/v1/notifications", {"to": to, **body})["id"])

    def broadcast(self, audience: dict[str, Any], **body: Any) -> str:
        """Start a broadcast to `{"all": True}`, `{"topic": ...}` or `{"segment": ...}` and return its id."""
        return str(self.call("POST", "/v1/broadcasts", {"audience": audience, **body})["id"])

    def event(self, type: str, data: dict[str, Any] | None = None, **body: Any) -> list[str]:
        """Send an event and return the ids of the notifications that event rules made of it."""
        answer = self.call("POST", "/v1/events", {"type": type, "data": data or {}, **body})
        return [made["id"] for made in answer["notifications"]]

    def seen(self, user_id: str, notification: str) -> None:
        """Mark a notification as seen by a user."""
        self.call("POST", f"/v1/notifications/{notification}/seen", {"user_id": user_id})

    def cancel(self, notification: str | None = None, *, cancellation_key: str | None = None) -> None:
        """Cancel a notification or broadcast by its id, or all notifications that carry a cancellation key."""
        if notification is None:
            self.call("POST", "/v1/notifications/cancel", {"cancellation_key": cancellation_key})
        else:
            kind = "broadcasts" if notification.startswith(BROADCAST_PREFIX) else "notifications"
            self.call("POST", f"/v1/{kind}/{notification}/cancel")

    # Providers and fetched URLs.

    def fail(self, channel: str, outcome: Outcome = "refused", *, address: str | None = None) -> None:
        """Set the outcome of every attempt on a channel, or of those to an address (or pattern: `*@example.com`)."""
        script = self._scripts.setdefault(Channel(channel), {})
        if address is None:
            script["by_attempt"] = [outcome]
        else:
            script.setdefault("by_address", {})[address] = outcome
        self._put_provider(Channel(channel), script)

    def recover(self, channel: str) -> None:
        """Accept every attempt on a channel again."""
        if self._scripts.pop(Channel(channel), None) is None:
            return
        if channel == Channel.INAPP:  # which needs no provider: without one, messages go to the inbox
            self.call("DELETE", f"/v1/providers/{channel}")
        else:
            self._put_provider(Channel(channel), {})

    def _put_provider(self, channel: Channel, settings: dict[str, Any]) -> None:
        self.call("PUT", f"/v1/providers/{channel}", {"channel": channel, "vendor": "sandbox", "settings": settings})

    def answer(self, url: str, body: Any = "", *, status: int = 200) -> None:
        """Set the response of a URL to `fetch` steps from now on: a text is sent unchanged, any other value as JSON."""
        self._parts.answers.give(url, body, status)

    @property
    def fetches(self) -> list[HttpRequest]:
        """The requests that `fetch` steps made."""
        return list(self._parts.answers.asked)

    # Time.

    @property
    def now(self) -> str:
        """The current time."""
        return instant(self._clock.now_ms())

    def run(self, until: str) -> None:
        """Advance the time to an instant, doing all work at its due time. Raises `ValueError` for a past instant."""
        until_ms = instant_ms(until)
        if until_ms < self._clock.now_ms():
            raise ValueError(f"{until} has passed: it is {self.now}")
        self._wait(self._turns.run_until(until_ms))

    def run_for(self, duration: str) -> None:
        """Advance the time by a duration, doing all work at its due time."""
        self._wait(self._turns.run_until(self._clock.now_ms() + duration_ms(duration)))

    # Results.

    @property
    def deliveries(self) -> list[Delivery]:
        """All sent deliveries, ordered by time; those of one instant by user and channel."""
        return self._sent.all()

    @property
    def faults(self) -> list[tuple[str, str, dict[str, Any]]]:
        """The warnings and errors that would be in the log: level, event, fields."""
        return list(self._parts.lines.faults)

    def notification(self, id: str) -> dict[str, Any]:
        """Return a notification with its deliveries, timeline and workflow instances."""
        return dict(self.call("GET", f"/v1/notifications/{id}"))

    def explain(self, to: Any, **body: Any) -> dict[str, Any]:
        """Return the decisions for a notification with their reasons; nothing is sent."""
        return dict(self.call("POST", "/v1/notifications/explain", {"to": to, **body}))

"""Clients of others that listen to the gateway: a socket and an event stream, with the same methods."""

import contextlib
import json
import time
from typing import ClassVar

import httpx
from httpx_sse import EventSource
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.e2e.outside import HOST, WAIT_S


class Tab:
    """What a page keeps: the messages it got, and its last position."""

    opened: ClassVar[list["Tab"]] = []

    def __init__(self):
        self.messages, self.position, self.presence = [], None, []
        self.opened.append(self)

    def _next(self, wait_s):
        raise NotImplementedError

    def message(self, wait_s=WAIT_S):
        """Return the next message but those of presence, which come when they come."""
        while (message := self._next(wait_s))["type"] == "presence":
            self.presence.append(message["connections"])
        self.messages.append(message)
        self.position = message.get("position", self.position)
        return message

    def until(self, is_it, what):
        """Return the first of the next messages for which this holds."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            message = self.message(max(0.1, deadline - time.monotonic()))
            if is_it(message):
                return message
        raise AssertionError(f"{what}: got {self.messages[-5:]}")

    def item(self, title):
        """Return the item with a title."""
        return self.until(lambda one: one["type"] == "item" and title_of(one) == title, f"an item {title}")["item"]

    def counts(self, **wanted):
        """Wait until these are the counts."""
        self.until(lambda one: one["type"] == "counts" and wanted.items() <= one.items(), f"counts {wanted}")

    def titles(self):
        return [title_of(one) for one in self.messages if one["type"] == "item"]


def title_of(message):
    return message["item"]["content"]["title"]


class SocketTab(Tab):
    """A page with a WebSocket. A `credential` is a token or a ticket."""

    def __init__(self, port, position=None, scheme="ws", ssl=None, **credential):
        super().__init__()
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(connect(f"{scheme}://{HOST}:{port}/v1/live", proxy=None, ssl=ssl))
        hello = {"type": "hello", **credential} | ({"position": position} if position else {})
        self._socket.send(json.dumps(hello))

    def _next(self, wait_s):
        return json.loads(self._socket.recv(wait_s))

    def closed(self):
        """Return the code with which the gateway closes it, None when the connection was cut."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.message()
        return self._socket.close_code if self._socket.protocol.close_rcvd else None

    def leave(self):
        self._open.close()


class EventsTab(Tab):
    """A page with an event stream, which goes on by the id of its last event."""

    def __init__(self, port, position=None, token="", ticket=None):
        super().__init__()
        headers = ({"last-event-id": position} if position else {}) | (
            {} if ticket else {"authorization": f"Bearer {token}"}
        )
        query = {"ticket": ticket} if ticket else {}
        self._client = httpx.Client(timeout=WAIT_S, trust_env=False)
        request = self._client.build_request(
            "GET", f"http://{HOST}:{port}/v1/live/events", headers=headers, params=query
        )
        self.response = self._client.send(request, stream=True)
        self._events = EventSource(self.response).iter_sse()

    def _next(self, wait_s):
        event = next(event for event in self._events if event.data)  # one without data says when to come back
        message = json.loads(event.data)
        assert event.event == message["type"]
        assert event.id == message.get("position", event.id)
        return message

    def leave(self):
        self.response.close()
        self._client.close()

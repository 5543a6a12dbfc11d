"""Topics and their members over HTTP."""

from datetime import datetime
from typing import Annotated

import msgspec

from clarion.domain.address import key, single_line
from clarion.domain.errors import existing
from clarion.domain.limits import NAME_CHARS_MAX, TOPIC_MEMBERS_PER_CALL_MAX
from clarion.domain.times import shown
from clarion.ports.control_users import TopicRecord, Topics
from clarion.ports.web import Call, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, page_of, page_reply


class TopicBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A topic."""

    name: str = ""


class MembersBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Users to add to a topic or remove from it."""

    user_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=TOPIC_MEMBERS_PER_CALL_MAX)]


class TopicView(msgspec.Struct, frozen=True):
    """A topic in the API's responses."""

    key: str
    name: str
    created_at: datetime


class _Handlers:
    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def put(self, call: Call) -> Reply:
        name = single_line(call.body.name, "name", NAME_CHARS_MAX)
        return Reply(_view(await self._topics.put(call.caller.tenant, key(call.path["key"], "key"), name)))

    async def get(self, call: Call) -> Reply:
        return Reply(_view(existing(await self._topics.get(call.caller.tenant, call.path["key"]), "topic")))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        topics = await self._topics.page(call.caller.tenant, after, limit + 1)
        return page_reply(topics, limit, lambda topic: [topic.key], _view)

    async def remove(self, call: Call) -> Reply:
        existing(await self._topics.remove(call.caller.tenant, call.path["key"]), "topic")
        return Reply(status=204)

    async def join(self, call: Call) -> Reply:
        added = await self._topics.join(call.caller.tenant, call.path["key"], call.body.user_ids)
        return Reply({"added": added})

    async def leave(self, call: Call) -> Reply:
        removed = await self._topics.leave(call.caller.tenant, call.path["key"], call.body.user_ids)
        return Reply({"removed": removed})

    async def members(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        user_ids = await self._topics.members(call.caller.tenant, call.path["key"], after, limit + 1)
        return page_reply(user_ids, limit, lambda user_id: [user_id], lambda user_id: {"user_id": user_id})


def _view(topic: TopicRecord) -> TopicView:
    return TopicView(topic.key, topic.name, shown(topic.created_ms))


def routes(topics: Topics) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(topics)
    write, read, tag = "topics:write", "topics:read", "topics"
    one, members = "/v1/topics/{key}", "/v1/topics/{key}/members"
    return [
        Route("GET", "/v1/topics", do.page, read, "List topics", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Create or rename a topic", body=TopicBody, reply=TopicView, tag=tag),
        Route("GET", one, do.get, read, "Get a topic", reply=TopicView, tag=tag),
        Route("DELETE", one, do.remove, write, "Remove a topic with its memberships", status=204, tag=tag),
        Route("POST", members, do.join, write, "Add users to a topic", body=MembersBody, tag=tag),
        Route("DELETE", members, do.leave, write, "Remove users from a topic", body=MembersBody, tag=tag),
        Route("GET", members, do.members, read, "List the users of a topic", queries=PAGE_QUERIES, tag=tag),
    ]  # fmt: skip

"""The reads of accepting: definitions that requests name, users, and what was answered under idempotency keys."""

from collections.abc import Collection, Sequence

from clarion.accept.definitions import Definitions, Wants, implied
from clarion.domain.event_rule import EventRule
from clarion.domain.limits import RECIPIENTS_MAX
from clarion.domain.segment import Segment
from clarion.domain.workflow import Workflow
from clarion.journal.events import Request
from clarion.ports.clock import Clock
from clarion.ports.directory import Defined, Directory
from clarion.ports.journal import IdempotencyEntry, Journal


async def gather_definitions(directory: Directory, tenant: str, wants: Wants) -> Definitions:
    """Return what is wanted of a tenant's definitions, as of now, and what these imply: what was defined a moment ago
    counts. Two rounds at most, however many requests there are."""
    directory.revision()
    found = Definitions({}, {}, {}, set(), {})
    await _add(directory, tenant, wants, found)
    more = implied(found, wants)
    if more.templates or more.categories:
        await _add(directory, tenant, more, found)
    return found


async def gather_rules(directory: Directory, tenant: str) -> list[Defined[EventRule]]:
    """Return the event rules of a tenant."""
    return directory.definitions(tenant, EventRule)


async def gather_unknown_users(directory: Directory, tenant: str, requests: Sequence[Request]) -> set[str]:
    """Return the user ids in these requests that the tenant does not have, asked for in few queries."""
    wanted = {to.user_id for request in requests for to in request.to if to.user_id}
    if not wanted:
        return wanted
    listed = list(wanted)
    for start in range(0, len(listed), RECIPIENTS_MAX):
        wanted.difference_update(directory.ordinals(tenant, listed[start : start + RECIPIENTS_MAX]))
    return wanted


async def gather_answers(
    journal: Journal, clock: Clock, tenant: str, keys: Collection[str]
) -> dict[str, IdempotencyEntry]:
    """Return what is remembered of idempotency keys."""
    now_ms = clock.now_ms()
    found: dict[str, IdempotencyEntry] = {}
    for key in keys:
        if (entry := journal.idempotency(tenant, key, now_ms)) is not None:
            found[key] = entry
    return found


async def _add(directory: Directory, tenant: str, wants: Wants, found: Definitions) -> None:
    for key in wants.templates:
        if (template := directory.template(tenant, key)) is not None:
            found.templates[key] = template
    for key in wants.workflows:
        if (workflow := directory.definition(tenant, Workflow, key)) is not None:
            found.workflows[key] = workflow
    for key in wants.categories:
        if (category := directory.category(tenant, key)) is not None:
            found.categories[key] = category
    for key in wants.topics:
        if directory.topic_exists(tenant, key):
            found.topics.add(key)
    for key in wants.segments:
        if (segment := directory.definition(tenant, Segment, key)) is not None:
            found.segments[key] = segment

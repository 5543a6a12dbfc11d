"""The reads of the accept stage, each batched: definitions that requests name, users, and responses stored under
idempotency keys."""

from collections.abc import Collection, Coroutine
from typing import Any

from clarion.accept.definitions import DefinitionNames, Definitions, implied_names, missing_names
from clarion.domain.event_rule import EventRule
from clarion.domain.segment import Segment
from clarion.domain.workflow import Workflow
from clarion.ports.clock import Clock
from clarion.ports.directory import Defined, DefinitionKey, Directory
from clarion.ports.stage_store import IdempotencyEntry, StageStore
from clarion.runtime.metering import together


async def gather_definitions(directory: Directory, tenant: str, wants: DefinitionNames, found: Definitions) -> None:
    """Add a tenant's wanted definitions, and those they imply, to `found`. A definition that this process has just
    stored is found. Two rounds at most, however many requests there are."""
    await _add(directory, tenant, missing_names(found, wants), found)
    await _add(directory, tenant, missing_names(found, implied_names(found, wants)), found)


async def gather_rules(directory: Directory, tenant: str) -> list[Defined[EventRule]]:
    """Return the event rules of a tenant."""
    return await directory.definitions_of(tenant, EventRule)


async def gather_unknown_users(directory: Directory, tenant: str, user_ids: Collection[str]) -> set[str]:
    """Return the user ids that the tenant does not have."""
    return set(user_ids).difference(await directory.ordinals(tenant, user_ids)) if user_ids else set()


async def gather_answers(
    store: StageStore, clock: Clock, tenant: str, keys: Collection[str]
) -> dict[str, IdempotencyEntry]:
    """Return the stored entries of idempotency keys, by key."""
    found = await store.remembered([(tenant, key) for key in keys], clock.now_ms()) if keys else {}
    return {key: entry for (_, key), entry in found.items()}


async def _add(directory: Directory, tenant: str, wants: DefinitionNames, found: Definitions) -> None:
    reading: list[Coroutine[Any, Any, None]] = []
    if wants.templates:
        reading.append(_add_templates(directory, tenant, wants.templates, found))
    if wants.categories:
        reading.append(_add_categories(directory, tenant, wants.categories, found))
    if wants.topics:
        reading.append(_add_topics(directory, tenant, wants.topics, found))
    if wants.workflows or wants.segments:
        reading.append(_add_definitions(directory, tenant, wants, found))
    await together(*reading)


async def _add_templates(directory: Directory, tenant: str, keys: Collection[str], found: Definitions) -> None:
    templates = await directory.templates([(tenant, key) for key in keys])
    found.templates.update({key: template for (_, key), template in templates.items()})


async def _add_categories(directory: Directory, tenant: str, keys: Collection[str], found: Definitions) -> None:
    categories = await directory.categories([(tenant, key) for key in keys])
    found.categories.update({key: category for (_, key), category in categories.items()})


async def _add_topics(directory: Directory, tenant: str, keys: Collection[str], found: Definitions) -> None:
    found.topics.update(key for _, key in await directory.topics([(tenant, key) for key in keys]))


async def _add_definitions(directory: Directory, tenant: str, wants: DefinitionNames, found: Definitions) -> None:
    asked: list[DefinitionKey] = [
        *((tenant, Workflow, key, None) for key in wants.workflows),
        *((tenant, Segment, key, None) for key in wants.segments),
    ]
    for (_, kind, key, _), defined in (await directory.definitions(asked)).items():
        (found.workflows if kind is Workflow else found.segments)[key] = defined

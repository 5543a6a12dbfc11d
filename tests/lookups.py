"""Single lookups in a directory, whose methods take many tenants at once."""

from collections.abc import Iterable
from typing import Any

from clarion.domain.content import Account, Category, Template
from clarion.domain.user import User
from clarion.ports.directory import D, Defined, Directory


async def users(directory: Directory, tenant: str, user_ids: Iterable[str]) -> dict[str, User]:
    """Return the users of a tenant that exist among these ids."""
    return (await directory.users({tenant: list(user_ids)}))[tenant]


async def template(directory: Directory, tenant: str, key: str) -> Template | None:
    """Return a template."""
    return (await directory.templates([(tenant, key)])).get((tenant, key))


async def category(directory: Directory, tenant: str, key: str) -> Category | None:
    """Return a category."""
    return (await directory.categories([(tenant, key)])).get((tenant, key))


async def topic_exists(directory: Directory, tenant: str, key: str) -> bool:
    """Return whether a topic exists."""
    return (tenant, key) in await directory.topics([(tenant, key)])


async def accounts(directory: Directory, tenant: str, channel: str) -> list[Account]:
    """Return the accounts of a channel."""
    return (await directory.accounts([(tenant, channel)]))[tenant, channel]


async def defaults(directory: Directory, tenant: str) -> dict[str, Any]:
    """Return the default preferences of a tenant."""
    return (await directory.defaults([tenant]))[tenant]


async def suppressed(directory: Directory, tenant: str, channel: str, addresses: Iterable[str]) -> dict[str, str]:
    """Return the suppressed addresses among these."""
    return (await directory.suppressed({(tenant, channel): list(addresses)}))[tenant, channel]


async def has_suppressions(directory: Directory, tenant: str, channel: str) -> bool:
    """Return whether a tenant suppresses anything on a channel."""
    return channel in (await directory.suppressing([tenant]))[tenant]


async def definition(
    directory: Directory, tenant: str, kind: type[D], key: str, version: int | None = None
) -> Defined[D] | None:
    """Return a definition."""
    asked = (tenant, kind, key, version)
    return (await directory.definitions([asked])).get(asked)

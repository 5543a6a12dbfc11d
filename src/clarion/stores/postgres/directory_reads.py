"""Reads definitions for the directory: each function reads what is missing of a batch in one statement, by place."""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from clarion.domain import template_name
from clarion.domain.content import CATEGORY_KIND, TEMPLATE_KIND, Account, Category, Template, read_category
from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.ports.control_accounts import ACCOUNT_COLUMNS, read_account
from clarion.ports.directory import D, Defined, DefinitionKey
from clarion.ports.secrets import SealBroken, Vault
from clarion.stores.postgres.pool import Database, columns

_LOG: Final = logging.getLogger("clarion.directory")
_DECODERS_MAX: Final = 64
_BUILT: Final = msgspec.json.Decoder(Template)

Name = tuple[str, str]
"""A tenant, and a key or channel."""

_GIVEN: Final = "unnest($1::text[], $2::text[]) AS g (tenant, key)"
_CATEGORIES: Final = f"""
SELECT d.tenant, d.key, d.body FROM {_GIVEN}
JOIN documents d ON d.tenant = g.tenant AND d.kind = '{CATEGORY_KIND}' AND d.key = g.key AND d.removed = 0
"""  # noqa: S608 - constants
_TOPICS: Final = f"SELECT t.tenant, t.key FROM {_GIVEN} JOIN topics t ON t.tenant = g.tenant AND t.key = g.key"  # noqa: S608
_ACCOUNT: Final = ", ".join(f"a.{name}" for name in ("tenant", *ACCOUNT_COLUMNS))
_ACCOUNTS: Final = f"""
SELECT {_ACCOUNT} FROM {_GIVEN} JOIN providers a ON a.tenant = g.tenant AND a.channel = g.key AND a.enabled
ORDER BY a.priority, a.name
"""  # noqa: S608 - constants
_NAMED: Final = f"SELECT {_ACCOUNT} FROM providers a WHERE a.tenant = $1 AND a.name = $2"  # noqa: S608 - constants
# A template whose build is the one held is not sent again.
_TEMPLATES: Final = f"""
SELECT g.n, a.build, CASE WHEN a.build = g.held THEN NULL ELSE a.body END
FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS g (tenant, key, held, n)
JOIN artifacts a ON a.tenant = g.tenant AND a.kind = '{TEMPLATE_KIND}' AND a.key = g.key AND a.body IS NOT NULL
"""  # noqa: S608 - constants
_WANTED: Final = """
SELECT g.n, d.version, d.body FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    WITH ORDINALITY AS g (tenant, kind, key, version, n)
"""
_DEFINITIONS: Final = f"""
{_WANTED} JOIN documents d ON d.tenant = g.tenant AND d.kind = g.kind AND d.key = g.key
    AND CASE WHEN g.version IS NULL THEN d.removed = 0 ELSE d.version = g.version END
UNION ALL
{_WANTED} JOIN document_versions d
    ON d.tenant = g.tenant AND d.kind = g.kind AND d.key = g.key AND d.version = g.version
"""
_ALL: Final = "SELECT key, version, body FROM documents WHERE tenant = $1 AND kind = $2 AND removed = 0 ORDER BY key"


class DefinitionReader:
    """Reads from a database; credentials are opened by the vault."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._held: dict[Name, tuple[int, Template]] = {}

    async def categories(self, names: Sequence[Name]) -> Mapping[Name, Category]:
        """Return categories by (tenant, key)."""
        rows = await self._database.fetch(_tenants(names), _CATEGORIES, *columns(names, 2))
        return {(tenant, key): read_category(key, body) for tenant, key, body in rows}

    async def topics(self, names: Sequence[Name]) -> Mapping[Name, bool]:
        """Return True for the topics, by (tenant, key), that exist."""
        return {tuple(row): True for row in await self._database.fetch(_tenants(names), _TOPICS, *columns(names, 2))}

    async def accounts(self, places: Sequence[Name]) -> Mapping[Name, list[Account]]:
        """Return the enabled accounts of each (tenant, channel), preferred first. An account whose credentials cannot be
        opened is left out and logged."""
        found: dict[Name, list[Account]] = {place: [] for place in places}
        for row in await self._database.fetch(_tenants(places), _ACCOUNTS, *columns(places, 2)):
            account = self._account(row)
            if account is not None:
                found[account.tenant, account.channel.value].append(account)
        return found

    async def named_accounts(self, names: Sequence[Name]) -> Mapping[Name, Account]:
        """Return accounts, enabled or not, by (tenant, name)."""
        rows = [row for name in names for row in await self._database.fetch(name[0], _NAMED, *name)]
        found = (self._account(row) for row in rows)
        return {(account.tenant, account.name): account for account in found if account is not None}

    async def templates(self, names: Sequence[Name]) -> Mapping[Name, Template]:
        """Return the current versions of templates by (tenant, key), or for `key@3` that version. An unchanged template
        is the same object, so that compiled templates can be cached by identity."""
        wanted = []
        for name in names:
            held = self._held.get(name)
            wanted.append((name[0], template_name.canonical(name[1]), held[0] if held else None))
        found: dict[Name, Template] = {}
        for number, build, text in await self._database.fetch(_tenants(names), _TEMPLATES, *columns(wanted, 3)):
            name = names[number - 1]
            held = self._held.get(name)
            if text is None and held is not None and held[0] == build:
                found[name] = held[1]
                continue
            template = None if text is None else _template(name, text)
            if template is not None:
                if len(self._held) >= DIRECTORY_CACHE_MAX:
                    self._held.clear()
                self._held[name] = build, template
                found[name] = template
        return found

    async def definitions(self, keys: Sequence[DefinitionKey]) -> Mapping[DefinitionKey, Defined[Any]]:
        """Return the newest versions of definitions, or the given versions even if they were removed since. One that this
        build cannot read is left out and logged."""
        wanted = [(tenant, kind.KIND, key, version) for tenant, kind, key, version in keys]
        found: dict[DefinitionKey, Defined[Any]] = {}
        for number, version, body in await self._database.fetch(_tenants(keys), _DEFINITIONS, *columns(wanted, 4)):
            tenant, kind, key, _ = place = keys[number - 1]
            defined = _defined(tenant, kind, key, version, body)
            if defined is not None:
                found[place] = defined
        return found

    async def definitions_of(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind, in the order of their keys."""
        rows = await self._database.fetch(tenant, _ALL, tenant, kind.KIND)
        found = (_defined(tenant, kind, *row) for row in rows)
        return [defined for defined in found if defined is not None]

    def _account(self, row: Any) -> Account | None:
        tenant, *account = row
        try:
            return read_account(self._vault, tenant, account)
        except SealBroken as error:
            _LOG.error("account %s of tenant %s is omitted: %s", account[0], tenant, error)
            return None


def _tenants(places: Sequence[tuple[Any, ...]]) -> set[str]:
    return {place[0] for place in places}


def _template(name: Name, text: str) -> Template | None:
    try:
        return msgspec.structs.replace(_BUILT.decode(text), key=name[1])
    except msgspec.MsgspecError as error:
        # Only a newer build writes a template that this one cannot read; it must not stop other templates.
        _LOG.error("template %s of tenant %s is omitted: %s", name[1], name[0], error)
        return None


def _defined(tenant: str, kind: type[D], key: str, version: int, body: str) -> Defined[D] | None:
    try:
        return Defined(key, version, _decoder(kind).decode(body))
    except msgspec.MsgspecError as error:
        # Only a newer build writes a definition that this one cannot read; it must not stop other definitions.
        _LOG.error("%s %s of tenant %s is omitted: %s", kind.KIND, key, tenant, error)
        return None


@lru_cache(maxsize=_DECODERS_MAX)
def _decoder(kind: type[D]) -> msgspec.json.Decoder[D]:
    return msgspec.json.Decoder(kind)

"""Reads definitions, templates and accounts in memory for the directory, and decodes each only once.

An unchanged definition is returned as the same object, so that results compiled from it can be cached by identity.
"""

import logging
from functools import lru_cache
from typing import Any, Final

import msgspec

from clarion.domain import template_name
from clarion.domain.content import CATEGORY_KIND, TEMPLATE_KIND, Account, Category, Template, read_category
from clarion.domain.limits_processes import DIRECTORY_CACHE_MAX
from clarion.domain.secret_reference import references_in
from clarion.ports.control_accounts import open_credentials
from clarion.ports.directory import D, Defined
from clarion.ports.documents import Document, DocumentKey
from clarion.ports.secrets import SealBroken, Vault
from clarion.stores.memory.control_state import ControlState, StoredProvider

_LOG: Final = logging.getLogger("clarion.directory")
_DECODERS_MAX: Final = 64
_TEMPLATE: Final = msgspec.json.Decoder(Template)


class DefinitionReader:
    """Decodes definitions. A definition that this build cannot read is omitted and logged, so that it does not stop
    other definitions."""

    def __init__(self, state: ControlState) -> None:
        self._state = state
        self._held: dict[tuple[str, str, str, int], Defined[Any]] = {}

    def one(self, tenant: str, kind: type[D], key: str, version: int | None) -> Defined[D] | None:
        """Return the newest version of a definition unless it was removed, or the requested version; None when there is
        none."""
        place = DocumentKey(tenant, kind.KIND, key)
        found = self._state.documents.get(place)
        if version is not None and found is not None and found.version != version:
            found = self._state.document_versions[place].get(version)
        return None if found is None or (version is None and found.removed) else self._read(tenant, kind, found)

    def all(self, tenant: str, kind: type[D]) -> list[Defined[D]]:
        """Return the newest versions of all definitions of a kind, in the order of their keys."""
        every = self._state.documents.values()
        own = [one for one in every if one.key[:2] == (tenant, kind.KIND) and not one.removed]
        found = (self._read(tenant, kind, one) for one in sorted(own, key=lambda one: one.key))
        return [defined for defined in found if defined is not None]

    def _read(self, tenant: str, kind: type[D], document: Document) -> Defined[D] | None:
        key, version = document.key.key, document.version
        place = (tenant, kind.KIND, key, version)
        found: Defined[D] | None = self._held.get(place)
        if found is None:
            try:
                found = Defined(key, version, _decoder(kind).decode(document.body))
            except msgspec.MsgspecError as error:
                _LOG.error("%s %s of tenant %s is omitted: %s", kind.KIND, key, tenant, error)
                return None
            if len(self._held) >= DIRECTORY_CACHE_MAX:
                self._held.clear()
            self._held[place] = found
        return found


class ContentReader:
    """Decodes built templates and categories."""

    def __init__(self, state: ControlState) -> None:
        self._state = state
        self._held: dict[tuple[str, str], tuple[bytes, Template]] = {}
        self._categories: dict[tuple[str, str], tuple[Document, Category]] = {}

    def template(self, tenant: str, name: str) -> Template | None:
        """Return the current version of a template, or for `key@3` that version, with `key@3` as its name; None when
        there is none."""
        built = self._state.artifacts.get(DocumentKey(tenant, TEMPLATE_KIND, template_name.canonical(name)))
        if built is None:
            return None
        held = self._held.get((tenant, name))
        if held is None or held[0] is not built:
            if len(self._held) >= DIRECTORY_CACHE_MAX:
                self._held.clear()
            held = built, msgspec.structs.replace(_TEMPLATE.decode(built), key=name)
            self._held[tenant, name] = held
        return held[1]

    def category(self, tenant: str, key: str) -> Category | None:
        """Return a category, None when there is none."""
        document = self._state.documents.get(DocumentKey(tenant, CATEGORY_KIND, key))
        if document is None or document.removed:
            return None
        held = self._categories.get((tenant, key))
        if held is None or held[0] is not document:
            if len(self._categories) >= DIRECTORY_CACHE_MAX:
                self._categories.clear()
            held = self._categories[tenant, key] = document, read_category(key, document.body)
        return held[1]


class AccountReader:
    """Opens the credentials of accounts."""

    def __init__(self, state: ControlState, vault: Vault) -> None:
        self._state = state
        self._vault = vault
        self._held: dict[tuple[str, str], tuple[StoredProvider, Account]] = {}

    def of(self, tenant: str, channel: str) -> list[Account]:
        """Return the enabled accounts of a channel, in order of priority."""
        stored = [one for one in self._state.providers[tenant].values() if one.record.enabled]
        stored.sort(key=lambda one: (one.record.priority, one.record.name))
        own = (self._read(tenant, one) for one in stored if one.record.channel == channel)
        return [account for account in own if account is not None]

    def named(self, tenant: str, name: str) -> Account | None:
        """Return an account, enabled or not, or None when there is none."""
        stored = self._state.providers[tenant].get(name)
        return None if stored is None else self._read(tenant, stored)

    def _read(self, tenant: str, stored: StoredProvider) -> Account | None:
        record = stored.record
        held = self._held.get((tenant, record.name))
        if held is None or held[0] is not stored:
            try:
                credentials = open_credentials(self._vault, tenant, record.name, stored.sealed)
            except SealBroken as error:
                _LOG.error("account %s of tenant %s is omitted: %s", record.name, tenant, error)
                return None
            if len(self._held) >= DIRECTORY_CACHE_MAX:
                self._held.clear()
            held = stored, Account(
                tenant, record.name, record.channel, record.vendor, record.priority, record.settings, credentials,
                record.version, record.rules, tuple(references_in(credentials)),
            )  # fmt: skip
            self._held[tenant, record.name] = held
        return held[1]


@lru_cache(maxsize=_DECODERS_MAX)
def _decoder(kind: type[D]) -> msgspec.json.Decoder[D]:
    return msgspec.json.Decoder(kind)

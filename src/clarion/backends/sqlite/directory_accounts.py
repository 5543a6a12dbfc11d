"""Reads provider accounts for the directory and opens their credentials."""

import logging
from typing import Any, Final

import msgspec

from clarion.backends.sqlite.directory_definitions import Rows
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.resilience import AccountRules
from clarion.domain.secret_reference import references_in
from clarion.ports.control_accounts import open_credentials
from clarion.ports.secrets import SealBroken, Vault

_LOG: Final = logging.getLogger("clarion.directory")

_SELECT: Final = (
    "SELECT name, channel, vendor, priority, settings, sealed, version, rules FROM providers WHERE tenant = ?"
)
_OF_CHANNEL: Final = f"{_SELECT} AND channel = ? AND enabled ORDER BY priority, name"
_NAMED: Final = f"{_SELECT} AND name = ?"
_RULES: Final = msgspec.json.Decoder(AccountRules)


class AccountReader:
    """Reads through the directory's connection. Accounts whose credentials cannot be decrypted are omitted and
    logged."""

    def __init__(self, rows: Rows, vault: Vault) -> None:
        self._rows = rows
        self._vault = vault

    def of(self, tenant: str, channel: str) -> list[Account]:
        """Return the enabled accounts of a channel, in order of priority."""
        rows = self._rows(_OF_CHANNEL, (tenant, channel))
        return [account for row in rows if (account := self._read(tenant, row)) is not None]

    def named(self, tenant: str, name: str) -> Account | None:
        """Return an account, enabled or not, or None when there is none."""
        row = next(iter(self._rows(_NAMED, (tenant, name))), None)
        return None if row is None else self._read(tenant, row)

    def _read(self, tenant: str, row: tuple[Any, ...]) -> Account | None:
        name, channel, vendor, priority, settings, sealed, version, rules = row
        try:
            credentials = open_credentials(self._vault, tenant, name, sealed)
        except SealBroken as error:
            _LOG.error("account %s of tenant %s is omitted: %s", name, tenant, error)
            return None
        decoded = msgspec.json.decode(settings)
        return Account(
            tenant, name, Channel(channel), vendor, priority, decoded, credentials, version, _RULES.decode(rules),
            tuple(references_in(credentials)),
        )  # fmt: skip

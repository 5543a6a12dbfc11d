"""Reads provider accounts for the directory and opens their credentials."""

import logging
from typing import Any, Final

from clarion.domain.content import Account
from clarion.ports.control_accounts import ACCOUNT_COLUMNS, read_account
from clarion.ports.secrets import SealBroken, Vault
from clarion.stores.sqlite.directory_definitions import Rows

_LOG: Final = logging.getLogger("clarion.directory")

_SELECT: Final = f"SELECT {', '.join(ACCOUNT_COLUMNS)} FROM providers WHERE tenant = ?"  # noqa: S608 - constants
_OF_CHANNEL: Final = f"{_SELECT} AND channel = ? AND enabled ORDER BY priority, name"
_NAMED: Final = f"{_SELECT} AND name = ?"


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
        try:
            return read_account(self._vault, tenant, row)
        except SealBroken as error:
            _LOG.error("account %s of tenant %s is omitted: %s", row[0], tenant, error)
            return None

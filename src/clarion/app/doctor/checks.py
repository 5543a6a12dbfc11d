"""All checks, in the order in which they are made. A part that needs one adds it here."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from clarion.app.cli.processes import roles
from clarion.app.config.settings import Config
from clarion.app.doctor import machine
from clarion.app.doctor.findings import Check, Finding
from clarion.app.wiring.stores import postgres
from clarion.domain.errors import ClarionError
from clarion.ops.log_masking import masked_text


async def _store(config: Config) -> AsyncIterator[Finding]:
    if config.store == "postgres":
        postgres()  # says how to get the driver
        from clarion.app.doctor.server import server

        async for finding in server(config, len(roles(config, None))):
            yield finding
    elif config.store == "sqlite":
        async for finding in machine.databases(config):
            yield finding
    else:
        yield Finding("Stores are in memory: nothing is kept.")


CHECKS: Final = (
    Check("versions", machine.versions),
    Check("folder", machine.folder),
    Check("disk", machine.disk),
    Check("keys", machine.keys),
    Check("ports", machine.ports),
    Check("store", _store),
)


async def examine(config: Config, checks: tuple[Check, ...] = CHECKS) -> AsyncIterator[tuple[str, Finding]]:
    """Return what all checks find, with their names. One that cannot be made is a finding, too."""
    for check in checks:
        try:
            async for finding in check.run(config):
                yield check.name, finding
        except (ClarionError, OSError) as error:
            yield check.name, Finding(masked_text(str(error)), "Mend what the sentence says, then ask again.")


async def examine_backup(config: Config, path: Path) -> AsyncIterator[tuple[str, Finding]]:
    """Return what a check of a file of `pg_dump` finds."""
    postgres()  # says how to get the driver

    async def check(config: Config) -> AsyncIterator[Finding]:
        from clarion.app.doctor.backup import backup

        for finding in backup(config, path):
            yield finding

    async for found in examine(config, (Check("backup", check),)):
        yield found

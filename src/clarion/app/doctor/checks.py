"""All checks, in the order in which they are made. A part that needs one adds it here."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import apsw

from clarion.app.cli.main import unusable_file
from clarion.app.cli.processes import roles
from clarion.app.config.settings import Config
from clarion.app.doctor import machine
from clarion.app.doctor.findings import CheckResult, DoctorCheck
from clarion.app.wiring.stores import postgres
from clarion.domain.errors import ClarionError
from clarion.ops.log_masking import masked_text


async def _store(config: Config) -> AsyncIterator[CheckResult]:
    if config.store == "postgres":
        postgres()  # says how to get the driver
        from clarion.app.doctor.server import server

        async for finding in server(config, len(roles(config, None))):
            yield finding
    elif config.store == "sqlite":
        async for finding in machine.databases(config):
            yield finding
    else:
        yield CheckResult("Stores are in memory: nothing is kept.")


CHECKS: Final = (
    DoctorCheck("versions", machine.versions),
    DoctorCheck("folder", machine.folder),
    DoctorCheck("disk", machine.disk),
    DoctorCheck("keys", machine.keys),
    DoctorCheck("ports", machine.ports),
    DoctorCheck("store", _store),
)


async def examine(config: Config, checks: tuple[DoctorCheck, ...] = CHECKS) -> AsyncIterator[tuple[str, CheckResult]]:
    """Return what all checks find, with their names. One that cannot be made is a finding, too."""
    for check in checks:
        try:
            async for finding in check.run(config):
                yield check.name, finding
        except apsw.Error as error:
            yield check.name, CheckResult(unusable_file(error), "Mend what the sentence says, then ask again.")
        except (ClarionError, OSError) as error:
            yield check.name, CheckResult(masked_text(str(error)), "Mend what the sentence says, then ask again.")


async def examine_backup(config: Config, path: Path) -> AsyncIterator[tuple[str, CheckResult]]:
    """Return what a check of a file of `pg_dump` finds."""
    postgres()  # says how to get the driver

    async def check(config: Config) -> AsyncIterator[CheckResult]:
        from clarion.app.doctor.backup import backup

        for finding in backup(config, path):
            yield finding

    async for found in examine(config, (DoctorCheck("backup", check),)):
        yield found

"""`clarion doctor`: what has to be mended on this machine, or in a backup."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from clarion.app.cli.options import ConfigFile, DataDir, configuration
from clarion.app.doctor.checks import examine, examine_backup
from clarion.app.doctor.findings import CheckResult

Backup = Annotated[Path | None, typer.Option(help="check this file of pg_dump, and nothing else")]


def doctor(backup: Backup = None, config_file: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Check this machine and its store, or a backup. Changes nothing; exit 1 when something has to be mended."""
    config = configuration(config_file, data_dir)
    if asyncio.run(_failures(examine(config) if backup is None else examine_backup(config, backup))):
        raise typer.Exit(1)


async def _failures(findings: AsyncIterator[tuple[str, CheckResult]]) -> int:
    failures = 0
    async for name, finding in findings:
        failures += not finding.is_fine
        typer.echo(f"{'ok' if finding.is_fine else 'FAIL':<5} {name:<9} {finding.sentence}")
        if not finding.is_fine:
            typer.echo(f"{'':<15} {finding.remedy}")
    typer.echo("Everything is fine." if not failures else f"{failures} to mend.")
    return failures

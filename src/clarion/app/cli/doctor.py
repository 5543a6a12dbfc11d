"""`clarion doctor`: what has to be mended on this machine."""

import asyncio

import typer

from clarion.app.cli.options import ConfigFile, DataDir, configuration
from clarion.app.config.settings import Config
from clarion.app.doctor.checks import examine


def doctor(config_file: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Check this machine and its store. Changes nothing; exit 1 when something has to be mended."""
    if asyncio.run(_failures(configuration(config_file, data_dir))):
        raise typer.Exit(1)


async def _failures(config: Config) -> int:
    failures = 0
    async for name, finding in examine(config):
        failures += not finding.is_fine
        typer.echo(f"{'ok' if finding.is_fine else 'FAIL':<5} {name:<9} {finding.sentence}")
        if not finding.is_fine:
            typer.echo(f"{'':<15} {finding.remedy}")
    typer.echo("Everything is fine." if not failures else f"{failures} to mend.")
    return failures

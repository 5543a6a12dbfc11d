"""`init`, `migrate`, `up`, `api`, `worker`, `scheduler`, `all-in-one` and `config`: the processes of this machine."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated

import structlog
import typer

from clarion.app.cli.options import ConfigFile, DataDir, configuration
from clarion.app.config.loading import defaults_text
from clarion.app.config.settings import Config
from clarion.app.processes.supervisor import PARENT_VARIABLE, SupervisedRole, Supervisor, die_with_parent, only_one
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.errors import OperatorError
from clarion.ops import logging

METRICS_DIR = "metrics"
Stages = Annotated[str, typer.Option(help="only these stages, separated by commas")]
Channels = Annotated[str, typer.Option(help="deliver only on these channels, separated by commas")]


def init(
    new_operator_key: Annotated[
        bool, typer.Option("--new-operator-key", help="postgres: the key here becomes that of the installation")
    ] = False,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Create the data directory with its keys and databases. `up` does this too."""
    config = configuration(config_file, data_dir)
    if new_operator_key and config.store != "postgres":
        raise OperatorError(f"--new-operator-key is for machines that share a store; store is {config.store}.")
    prepare(config, takes_operator_key=new_operator_key)
    typer.echo(f"Ready in {config.data_dir}. The operator's key is in operator.key there; start with: clarion up")


def migrate(
    check: Annotated[bool, typer.Option("--check", help="change nothing; exit with 1 unless it is up to date")] = False,
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Bring the schema of the store up to date. `up` does this too; roles that are started alone do not."""
    config = configuration(config_file, data_dir)
    if check:
        difference = _difference(config)
        typer.echo(difference or "The schema is up to date.")
        raise typer.Exit(1 if difference else 0)
    if config.store == "sqlite":
        from clarion.stores.sqlite.consistency import upgrade_all

        upgrade_all(config.data_dir)
    elif config.store == "postgres":
        asyncio.run(_postgres().migrate(config))
    typer.echo("The schema is up to date.")


def _difference(config: Config) -> str | None:
    if config.store == "postgres":
        found: str | None = asyncio.run(_postgres().difference(config))
        return found
    if config.store == "memory":
        return None
    from clarion.stores.sqlite.migrate import find_difference

    return find_difference(config.data_dir)


def up(config_file: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Run everything on this machine: API, workers, scheduler and gateway, restarted when they die. With stores in memory all of it
    is one process."""
    from clarion.app.processes.image import process_starter

    config = _start("up", config_file, data_dir)
    with only_one(config.run_dir, "up"):
        shutil.rmtree(config.run_dir / METRICS_DIR, ignore_errors=True)
        prepare(config)
        supervisor = Supervisor(
            roles(config, config_file),
            config.run_dir,
            drain_timeout_ms=config.workers.drain_timeout_ms,
            env=_env(config),
            start=process_starter(shared=config.workers.shared_image),
        )
        structlog.get_logger().info(
            "starting",
            api=config.listening_url,
            workers=config.worker_count,
            data=str(config.data_dir),
        )
        code = supervisor.run()
    raise typer.Exit(code)


def api(config_file: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Run the HTTP API alone."""
    config = _shared(_start("api", config_file, data_dir))
    from clarion.app.processes.api import run

    run(config)


def worker(
    index: Annotated[int, typer.Option(min=0, help="number of this worker, from 0")] = 0,
    stages: Stages = "",
    channels: Channels = "",
    config_file: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Run one worker alone."""
    config = _shared(_start(f"worker-{index}", config_file, data_dir))
    from clarion.app.processes.workers import STAGES, run

    wanted = _named("stage", "stages", stages, STAGES)
    if channels and "deliver" not in wanted:
        raise OperatorError(
            f"--channels is for the stage deliver, and this worker does {', '.join(wanted)}: add deliver."
        )
    run(config, index, wanted, [Channel(name) for name in _named("channel", "channels", channels, CHANNELS)])


def _named(what: str, option: str, given: str, known: Sequence[str]) -> Sequence[str]:
    """Return the names in an option, all when it is empty. Raises `OperatorError` for one that is not known."""
    wanted = given.split(",") if given else known
    for name in wanted:
        if name not in known:
            raise OperatorError(
                f"There is no {what} {name!r}. --{option} takes {', '.join(known)}, separated by commas."
            )
    return wanted


def scheduler(config_file: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Run the scheduler alone."""
    config = _shared(_start("scheduler", config_file, data_dir))
    from clarion.app.processes.scheduler import run

    run(config)


def gateway(config_file: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Run a gateway alone: sockets and event streams of users."""
    config = _shared(_start("gateway", config_file, data_dir))
    from clarion.app.processes.gateway import run

    run(config)


def all_in_one(config_file: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Run API, worker and scheduler in one process, with stores in files or in memory."""
    config = _start("all-in-one", config_file, data_dir)
    from clarion.app.processes.all_in_one import run

    # A supervisor holds the lock for the processes it started.
    supervised = PARENT_VARIABLE in os.environ
    with contextlib.nullcontext() if supervised else only_one(config.run_dir, "all-in-one"):
        run(config)


def config() -> None:
    """Print every setting with its default and its meaning. The output is a valid configuration file."""
    typer.echo(defaults_text(), nl=False)


def _postgres() -> ModuleType:
    from clarion.app.wiring.stores import postgres

    return postgres()


def prepare(config: Config, *, takes_operator_key: bool = False) -> None:
    """Create keys and databases in the data directory, or bring them up to date. With `takes_operator_key`, a shared store
    knows the operator by the key of this machine from now on."""
    if config.store == "postgres":
        count = len(roles(config, None))
        asyncio.run(_postgres().prepare(config, count, takes_operator_key=takes_operator_key))
        return
    from clarion.identity.operator_keys import operator_key
    from clarion.outbound.secrets.master_key import FileVault
    from clarion.stores.sqlite.consistency import upgrade_all

    operator_key(config)
    FileVault.load(config.data_dir, config.master_key or None)
    if config.store == "sqlite":
        upgrade_all(config.data_dir)
        if config.journal.partitions:
            from clarion.app.wiring.partitions import change_in_files

            change_in_files(config)


def roles(config: Config, config_file: Path | None) -> list[SupervisedRole]:
    """Return the processes of an installation, in the order they are started."""
    options = ["--config", str(config_file)] if config_file is not None else []
    if config.store == "memory":
        return [_role("all-in-one", "all-in-one", *options)]
    workers = [
        _role(f"worker-{index}", "worker", "--index", str(index), *options) for index in range(config.worker_count)
    ]
    gateways = [_role("gateway", "gateway", *options)] if config.gateway.port else []
    return [_role("api", "api", *options), *workers, _role("scheduler", "scheduler", *options), *gateways]


def _role(name: str, *words: str) -> SupervisedRole:
    return SupervisedRole(name, [sys.executable, "-m", "clarion", *words], list(words))


def _env(config: Config) -> dict[str, str]:
    return {**os.environ, "CLARION_DATA_DIR": str(config.data_dir)}


def _start(role: str, config_file: Path | None, data_dir: Path | None) -> Config:
    # The API handles it when it has a certificate to reload; a supervisor passes it on to all processes.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with_parent(os.environ)
    config = configuration(config_file, data_dir)
    logging.configure(config.log.level, config.log.format, role=role)
    return config


def _shared(config: Config) -> Config:
    """Return the configuration of a process that shares its stores with other processes. Raises `OperatorError` when
    the stores are in memory."""
    if config.store == "memory":
        raise OperatorError(
            "With store = memory everything runs in one process: use 'clarion up' or 'clarion all-in-one'."
        )
    return config

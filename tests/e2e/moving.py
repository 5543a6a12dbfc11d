"""An installation that is moved from files to a PostgreSQL database and back, by its command line."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from clarion_lab.load.programs import System, running
from tests.e2e.conftest import QUICK
from tests.e2e.outside import Api, new_tenant
from tests.engines.postgres import SUPERUSER, as_role

OPERATOR_KEY = "o" * 43
MASTER_KEY = "A" * 43 + "="
NOTE = {"sms": {"body": "{{ text }}"}}
BATCH = 1_000


class Installation:
    """Files in `folder/<name>/data`, a database, and the processes over one of them at a time."""

    def __init__(self, folder, dsn, **settings):
        self.folder = folder
        self.dsn = dsn
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
        self._common = (
            inherited
            | QUICK
            | {
                "CLARION_POSTGRES_DSN": dsn,
                "CLARION_MASTER_KEY": MASTER_KEY,
                "CLARION_OPERATOR_KEY": OPERATOR_KEY,
                "CLARION_WORKERS_COUNT": "1",
            }
            | settings
        )

    def files(self, name):
        return self.folder / name / "data"

    def env(self, store, name):
        return self._common | {"CLARION_STORE": store, "CLARION_DATA_DIR": str(self.files(name))}

    def system(self, store, name="files"):
        """Return `clarion up` over a store."""
        (self.folder / name).mkdir(exist_ok=True)
        return System(self.folder / name, self.env(store, name))

    def command(self, *words, name="files"):
        """Start a command."""
        words = [sys.executable, "-m", "clarion", *words]
        return subprocess.Popen(
            words, env=self.env("sqlite", name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *words, name="files", timeout_s=120):
        """Run a command and return its exit code and what it printed and said."""
        with self.command(*words, name=name) as process:
            printed, said = process.communicate(timeout=timeout_s)
        return process.returncode, printed, said

    def start_of(self, store, name="files"):
        """Return what `clarion up` says instead of starting."""
        done = subprocess.run(
            [sys.executable, "-m", "clarion", "up"],
            env=self.env(store, name),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stderr

    def value(self, statement):
        """Return a value of the database."""

        async def read():
            connection = await asyncpg.connect(as_role(self.dsn, SUPERUSER), statement_cache_size=0)
            try:
                return await connection.fetchval(statement)
            except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
                return None
            finally:
                await connection.close()

        return asyncio.run(read())

    def cut(self, statement, *words, name="files", timeout_s=120):
        """Kill a command as soon as a statement finds something; return its exit code."""
        deadline_s = time.monotonic() + timeout_s
        with self.command(*words, name=name) as process:
            while process.poll() is None and not self.value(statement):
                assert time.monotonic() < deadline_s, f"{statement}: nothing"
            process.send_signal(signal.SIGKILL)
            process.communicate()
        return process.returncode


def api(system):
    return Api(system.port, OPERATOR_KEY)


def seeded(system, instances_wait="20s"):
    """Return a tenant with a template, a provider and a workflow that waits before it sends."""
    tenant = new_tenant(api(system)).seed_data({"note": NOTE}, ("sms",))
    steps = [
        {"kind": "delay", "name": "wait", "for": instances_wait},
        {"kind": "send", "name": "tell", "template": "note", "channels": ["sms"], "data": {"text": "data.text"}},
    ]
    tenant.put("/v1/workflows/later", {"steps": steps})
    return tenant


def batches(tenant, count, body, key=""):
    """Send `count` notifications in batches and return their ids. `body` makes one from its number."""
    ids = []
    for first in range(0, count, BATCH):
        many = [body(number) for number in range(first, min(count, first + BATCH))]
        headers = {"Idempotency-Key": f"{key}{first}"} if key else {}
        results = tenant.post("/v1/notifications/batch", {"notifications": many}, headers=headers)["results"]
        assert all(one["status"] in ("accepted", "scheduled") for one in results), results[:2]
        ids += [one["id"] for one in results]
    return ids


def scheduled(text, at):
    """Return the body of a notification at a time."""
    return lambda n: {
        "to": {"phone": f"+1415{n:07}"}, "template": "note", "data": {"text": f"{text} {n}"}, "channels": ["sms"],
        "send_at": at.isoformat(),
    }  # fmt: skip


def instance(n):
    """Return the body of a workflow instance."""
    return {"to": {"phone": f"+1416{n:07}"}, "workflow": "later", "data": {"text": f"instance {n}"}}


def soon(seconds):
    return datetime.now(UTC) + timedelta(seconds=seconds)


__all__ = ["running"]

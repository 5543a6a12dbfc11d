"""Whether a file of `pg_dump` holds all of an installation. What the file itself does not tell is not known here: tables that the
dump was told to leave out altogether, but for those that every installation has, and what was stored after it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clarion.app.config.settings import Config
from clarion.app.doctor.findings import CheckResult
from clarion.app.doctor.machine import PROBE, key_finding
from clarion.outbound.secrets.master_key import KEY_FILE
from clarion.stores.postgres.dump import Dump, read_dump
from clarion.stores.postgres.migrate import is_known

NEEDED: Final = (
    "alembic_version", "facts", "tenants", "tenant_revisions", "api_keys", "users", "documents", "providers", "deliveries_other",
    "journal.meta", "journal.streams", "journal.frames", "journal.timers", "journal.commits",
)  # fmt: skip
"""Tables that every installation has, of each part of the schema some."""
_AGAIN: Final = "Make it again as a role that sees all rows: docs/howto/postgres.md#backups."
_NAMED_MAX: Final = 3


def backup(config: Config, path: Path) -> Iterator[CheckResult]:
    """Check a dump. Raises `clarion.domain.errors.OperatorError` and `OSError` for a file that is none or cannot be read."""
    dump = read_dump(path)
    if not dump.is_complete:
        yield CheckResult(f"{path} was cut: it does not end as a dump does.", _AGAIN)
        return
    yield CheckResult(f"{path} was read from its beginning to its end.")
    yield _tables(dump)
    if not is_known(dump.revision):
        yield CheckResult(
            f"Its schema ({dump.revision or 'none'}) is not known to this build.",
            "Check it with the build that wrote it.",
        )
        return
    yield _installation(dump)
    yield _tenants(dump)
    yield _frames(dump)
    sealed = dump.fact(PROBE)
    if sealed is not None and (config.master_key or (config.data_dir / KEY_FILE).exists()):
        yield key_finding(config, sealed)


def _tables(dump: Dump) -> CheckResult:
    missing = sorted({*dump.without_rows, *(set(NEEDED) - dump.rows.keys())})
    if missing:
        named = ", ".join(missing[:_NAMED_MAX]) + (
            f" and {len(missing) - _NAMED_MAX} more" if missing[_NAMED_MAX:] else ""
        )
        return CheckResult(
            f"The rows of {len(missing)} tables are not in it: {named}.",
            "Make it again without --schema-only, --inserts and options that leave out tables.",
        )
    return CheckResult(f"All {len(dump.rows)} tables are in it, with {sum(dump.rows.values())} rows.")


def _installation(dump: Dump) -> CheckResult:
    if dump.fact(PROBE) is None:
        return CheckResult("No installation is in it: clarion init was never run there.", "Back up the right database.")
    return CheckResult("The row of the installation is in it.")


def _tenants(dump: Dump) -> CheckResult:
    there, wanted = dump.rows.get("tenants", 0), dump.tenants_wanted
    if there < wanted:
        return CheckResult(f"{there} of {wanted} tenants are in it: row-level security hid rows from pg_dump.", _AGAIN)
    return CheckResult(f"All {there} tenants are in it." if there else "The installation has no tenants.")


def _frames(dump: Dump) -> CheckResult:
    there, wanted = dump.rows.get("journal.frames", 0), dump.frames_wanted
    if there < wanted:
        return CheckResult(f"{there} of {wanted} frames of the journal are in it.", _AGAIN)
    return CheckResult(f"All {there} frames of the journal are in it.")

"""Furnishing an empty installation over its public API: a tenant with a key, definitions, a provider, users."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from clarion.app.commands.remote import Remote
from clarion.app.load import people
from clarion.app.load.programs import RunError, SimulatorReady, System

OPERATOR_KEY: Final = "clop_" + "0" * 40
"""Made up for installations that live for one run on loopback."""
TENANT: Final = "bench"
USERS_A_CALL: Final = 20_000

Progress = Callable[[int], None]


def tenant(system: System) -> str:
    """Create the tenant and return the secret of a key that may do everything in it."""
    operator = system.client(OPERATOR_KEY)
    operator.put(f"/v1/tenants/{TENANT}", {"name": "Bench"})
    made = operator.post(f"/v1/tenants/{TENANT}/keys", {"name": "bench", "scopes": ["*"]})
    return str(made["key"])


def definitions(client: Remote, channels: list[str]) -> None:
    """Create the categories that preferences name, and one template for the channels."""
    for category in people.CATEGORIES:
        client.put(f"/v1/categories/{category}", {})
    content = {channel: people.PARTS[channel] for channel in channels}
    client.put(f"/v1/templates/{people.TEMPLATE}", {"category": people.BROADCAST_CATEGORY, "channels": content})


def provider(client: Remote, channel: str, simulator: SimulatorReady) -> None:
    """Create the account that sends a channel to the simulator; in-app needs none."""
    if channel == "push":
        account = msgspec.json.decode(simulator.service_account_file.read_bytes())
        body: dict[str, Any] = {
            "channel": "push",
            "vendor": "fcm",
            "credentials": {name: account[name] for name in ("client_email", "private_key", "private_key_id")},
            "settings": {
                "project_id": account["project_id"],
                "base_url": simulator.base_url,
                "token_url": simulator.token_url,
            },
        }
    elif channel == "email":
        body = {
            "channel": "email",
            "vendor": "smtp",
            "credentials": {},
            "settings": {
                "host": simulator.smtp_host,
                "port": simulator.smtp_port,
                "security": "starttls",
                "from_email": "bench@example.com",
            },
        }
    else:
        return
    client.put(f"/v1/providers/simulator-{channel}", body)


def users(client: Remote, count: int, *, profiles: bool, progress: Progress) -> None:
    """Import users as NDJSON; every one of them has to be stored."""
    for first in range(0, count, USERS_A_CALL):
        numbers = range(first, min(first + USERS_A_CALL, count))
        lines = people.user_lines(numbers, profiles=profiles)
        report = msgspec.json.decode(client.call("POST", "/v1/users/bulk", lines, "application/x-ndjson"))
        if report["stored"] != len(numbers):
            raise RunError(f"{report['failed']} of {len(numbers)} users were refused: {report['errors'][:3]}")
        progress(numbers.stop)


def environment(simulator: SimulatorReady, workers: int, **settings: str) -> dict[str, str]:
    """Return the variables of an installation that trusts the simulator on loopback."""
    return {
        "CLARION_OPERATOR_KEY": OPERATOR_KEY,
        "CLARION_WORKERS_COUNT": str(workers),
        "CLARION_EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
        "CLARION_EGRESS_CA_FILE": str(simulator.ca_file),
        "CLARION_LOG_LEVEL": "warning",
    } | settings

"""Seed data for an empty installation, over its public API: a tenant with a key, definitions, a provider, users."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clarion.app.cli.remote import Remote
from clarion_lab.load import people
from clarion_lab.load.programs import RunError, SimulatorReady, System

OPERATOR_KEY: Final = "clop_" + "0" * 40
"""A fixed key for installations that exist for one run on loopback."""
TENANT: Final = "bench"
USERS_A_CALL: Final = 20_000

VENDORS: Final = {"push": "fcm", "email": "smtp", "webpush": "webpush", "sms": "twilio"}
"""The default vendor of each channel."""
KEYS: Final[dict[str, Callable[[], RSAPrivateKey | Ed25519PrivateKey]]] = {
    "rsa-2048": lambda: generate_private_key(public_exponent=65_537, key_size=2_048),
    "ed25519": Ed25519PrivateKey.generate,
}
"""Kinds of keys that can sign mail."""

Progress = Callable[[int], None]


def tenant(system: System, name: str = TENANT) -> str:
    """Create a tenant and return the secret of a key with all its permissions."""
    operator = system.client(OPERATOR_KEY)
    operator.put(f"/v1/tenants/{name}", {"name": "Bench"})
    made = operator.post(f"/v1/tenants/{name}/keys", {"name": "bench", "scopes": ["*"]})
    return str(made["key"])


def definitions(client: Remote, channels: list[str], categories: Sequence[str] = people.CATEGORIES) -> None:
    """Create categories (by default those that preferences name) and one template for the channels."""
    for category in categories:
        client.put(f"/v1/categories/{category}", {})
    content = {channel: people.PARTS[channel] for channel in channels}
    client.put(f"/v1/templates/{people.TEMPLATE}", {"category": people.BROADCAST_CATEGORY, "channels": content})


def reach(simulator: SimulatorReady, vendor: str) -> people.VendorAddress:
    """Return the address at which the simulator takes messages of a vendor."""
    return people.VendorAddress(vendor, _played(simulator, vendor)["address"])


def provider(client: Remote, channel: str, simulator: SimulatorReady, vendor: str = "", dkim: str = "") -> None:
    """Create the account that sends a channel to the simulator; in-app needs none. With `dkim`, one of `KEYS`, mail is
    signed with a key of that kind."""
    vendor = vendor or VENDORS.get(channel, "")
    if not vendor:
        return
    body = _played(simulator, vendor)["provider"]
    if dkim:
        key = KEYS[dkim]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        body["credentials"] |= {"dkim_private_key": key}
        body["settings"] |= {"dkim_domain": "example.com", "dkim_selector": "bench"}
    client.put(f"/v1/providers/simulator-{channel}", body)


def _played(simulator: SimulatorReady, vendor: str) -> dict[str, Any]:
    return dict(msgspec.json.decode(simulator.providers_file.read_bytes())[vendor])


def users(
    client: Remote, count: int, *, profiles: bool, progress: Progress, reach: people.VendorAddress | None = None
) -> None:
    """Import users as NDJSON, with the contacts for `reach`. Raises `RunError` unless all of them are stored."""
    for first in range(0, count, USERS_A_CALL):
        numbers = range(first, min(first + USERS_A_CALL, count))
        lines = people.user_lines(numbers, profiles=profiles, reach=reach)
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

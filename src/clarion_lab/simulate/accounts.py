"""The file of accounts a simulator takes: for every vendor what to connect and where a message can go."""

from typing import Any

import msgspec

from clarion_lab.simulate.callbacks import TELLERS
from clarion_lab.simulate.vendors.script import Secrets
from clarion_lab.simulate.vendors.stage import PLAYED


class Others(msgspec.Struct, frozen=True):
    """What is told of those that are not on stage: FCM's key file, the secret of webhooks, and where mail goes."""

    service_account: dict[str, str]
    token_url: str
    webhook_secret: str
    webhook_url: str
    smtp_host: str
    smtp_port: int


def accounts(secrets: Secrets, origin: str, others: Others) -> bytes:
    """Return JSON that maps a vendor to what `PUT /v1/providers/{name}` takes and an address messages can go to."""
    found = _others(origin, others)
    for played in PLAYED:
        account, address = played.account(secrets, origin), played.address(secrets, origin)
        if (teller := TELLERS.get(played.vendor)) is not None:
            account = {part: given | teller.account(secrets).get(part, {}) for part, given in account.items()}
        found[played.name or played.vendor] = _entry(played.channel, played.vendor, account, address)
    return msgspec.json.format(msgspec.json.encode(found))


def _entry(channel: str, vendor: str, account: dict[str, Any], address: str) -> dict[str, Any]:
    return {"provider": {"channel": channel, "vendor": vendor, **account}, "address": address}


def _others(origin: str, others: Others) -> dict[str, Any]:
    given = others.service_account
    fcm = {
        "settings": {"project_id": given["project_id"], "base_url": origin, "token_url": others.token_url},
        "credentials": {name: given[name] for name in ("client_email", "private_key", "private_key_id")},
    }
    webhook = {"settings": {}, "credentials": {"secret": others.webhook_secret}}
    mail = {"host": others.smtp_host, "port": others.smtp_port, "from_email": "shop@example.com"}
    return {
        "fcm": _entry("push", "fcm", fcm, "token-of-ada"),
        "webhook": _entry("webhook", "webhook", webhook, others.webhook_url),
        "smtp": _entry("email", "smtp", {"settings": mail, "credentials": {}}, "ada@example.com"),
    }

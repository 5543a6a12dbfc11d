"""The file of a simulator's accounts: for every vendor the account to create and an address for messages."""

from typing import Any

import msgspec

from clarion_lab.simulate.callbacks import RECEIPT_FORMATS
from clarion_lab.simulate.vendors.script import Secrets
from clarion_lab.simulate.vendors.stage import SCRIPTS


class Others(msgspec.Struct, frozen=True):
    """The data of vendors that have no script: FCM's key file, the secret of webhooks, and the address of the mail
    server."""

    service_account: dict[str, str]
    token_url: str
    webhook_secret: str
    webhook_url: str
    smtp_host: str
    smtp_port: int


def accounts(secrets: Secrets, origin: str, others: Others) -> bytes:
    """Return JSON that maps a vendor to the body of `PUT /v1/providers/{name}` and an address for messages."""
    found = _others(origin, others)
    for played in SCRIPTS:
        account, address = played.account(secrets, origin), played.address(secrets, origin)
        if (receipt_format := RECEIPT_FORMATS.get(played.vendor)) is not None:
            account = {part: given | receipt_format.account(secrets).get(part, {}) for part, given in account.items()}
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

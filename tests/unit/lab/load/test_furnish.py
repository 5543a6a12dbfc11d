"""A run stores what the API accepts: users that a vendor can reach, and accounts that send to the simulator."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from clarion.providers import catalogue
from clarion.providers.dkim import signed
from clarion_lab.load import people, seed_data
from clarion_lab.load.programs import SimulatorReady

SUBSCRIPTION = {"endpoint": "https://127.0.0.1:1/push/ada", "keys": {"p256dh": "BP", "auth": "aa"}}
PLAYED = {
    "smtp": {"provider": {"channel": "email", "vendor": "smtp", "settings": {}, "credentials": {}}, "address": "a@b.test"},
    "webpush": {"provider": {}, "address": msgspec.json.encode(SUBSCRIPTION).decode()},
    "twilio": {"provider": {"vendor": "twilio"}, "address": "+4915112345678"},
    "apns": {"provider": {"vendor": "apns"}, "address": "ada0" * 16},
    "fcm": {"provider": {"vendor": "fcm"}, "address": "token"},
}  # fmt: skip


class Client:
    """Records what it is asked to store."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] = {}

    def put(self, path: str, body: Any) -> None:
        self.stored[path] = body


@pytest.fixture
def simulator(tmp_path: Path) -> SimulatorReady:
    file = tmp_path / "providers.json"
    file.write_bytes(msgspec.json.encode(PLAYED))
    return SimulatorReady("https://x", "https://x", "localhost", 25, tmp_path, tmp_path, tmp_path, file)


def test_each_user_has_an_address_of_its_own_that_the_vendor_can_reach(simulator: SimulatorReady) -> None:
    def contact(vendor: str, number: int) -> dict[str, Any]:
        return people.user(number, profiles=False, reach=seed_data.reach(simulator, vendor))

    (browser,) = contact("webpush", 7)["devices"]
    assert browser["subscription"] == SUBSCRIPTION | {"endpoint": "https://127.0.0.1:1/push/user-0000007"}
    (phone,) = contact("apns", 7)["devices"]
    assert (phone["channel"], len(bytes.fromhex(phone["token"]))) == ("push", 32)
    numbers = {contact("twilio", number)["phone"] for number in range(1_000)}
    assert len(numbers) == 1_000
    assert contact("fcm", 7) == people.user(7, profiles=False)


@pytest.mark.parametrize("kind", [*seed_data.KEYS])
def test_mail_can_be_signed_with_a_fresh_key_of_each_kind(kind: str, simulator: SimulatorReady) -> None:
    client = Client()
    seed_data.provider(client, "email", simulator, dkim=kind)  # type: ignore[arg-type]
    body = client.stored["/v1/providers/simulator-email"]
    traits = vendor("smtp")
    fields = {field.name for field in (*traits.settings, *traits.credentials)}
    assert set(body["settings"]) | set(body["credentials"]) <= fields
    mail = signed(
        b"From: <a@b.test>\r\n\r\nx\r\n",
        domain=body["settings"]["dkim_domain"],
        selector=body["settings"]["dkim_selector"],
        pem=body["credentials"]["dkim_private_key"],
        at_ms=0,
    )
    assert mail.startswith(b"DKIM-Signature:")


def test_a_channel_has_its_usual_vendor_and_in_app_none(simulator: SimulatorReady) -> None:
    client = Client()
    seed_data.provider(client, "inapp", simulator)  # type: ignore[arg-type]
    assert client.stored == {}
    seed_data.provider(client, "push", simulator)  # type: ignore[arg-type]
    assert client.stored["/v1/providers/simulator-push"]["vendor"] == "fcm"
    seed_data.provider(client, "push", simulator, "apns")  # type: ignore[arg-type]
    assert client.stored["/v1/providers/simulator-push"]["vendor"] == "apns"


def vendor(name: str) -> Any:
    return next(module.TRAITS for (_, found), module in catalogue.load().items() if found == name)

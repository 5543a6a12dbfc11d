"""The vendors of the case: FCM for the accounts of one project, and an SMS vendor, both played by the simulator."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws

from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpRequest, HttpResponse
from clarion_lab.outage.verdict import VendorRequest
from clarion_lab.simulate.config import Faults
from clarion_lab.simulate.direct import answered, call_of
from clarion_lab.simulate.faults import Chooser
from clarion_lab.simulate.outages import Outages
from clarion_lab.simulate.receipts import Receipts
from clarion_lab.simulate.services import TOKEN_PATH, Services
from clarion_lab.simulate.vendors.script import Secrets, form_of
from clarion_lab.simulate.vendors.stage import SCRIPTS, Stage

ORIGIN: Final = "https://vendors.example"
PROJECT: Final = "shop-app"
DEAD: Final = "404"
"""The suffix of dead tokens."""
_KEY_BITS: Final = 2048
_LATENCY_S: Final = (0.02, 0.18)
_HOOK_SECRET: Final = "whsec_" + "QUJD" * 11 + "QUI="
_KNOWN: Final = ("fcm", "vonage")


class _Target(msgspec.Struct):
    token: str
    data: dict[str, str] = {}


class _Push(msgspec.Struct):
    message: _Target


_PUSH: Final = msgspec.json.Decoder(_Push)


class Vendors:
    """Implements `ports.egress.HttpEgress`: requests arrive after some milliseconds of virtual time, and every message
    is recorded in `called`. Each of the `tenants` has its own account at FCM, with its own `outages`; the `refused` one
    gets access tokens, and a 401 when it sends with them."""

    def __init__(self, folder: Path, now_s: Callable[[], float], seed: int, tenants: tuple[str, ...]) -> None:
        self.called: list[VendorRequest] = []
        self.outages: dict[str, Outages] = {}
        self.refused = ""
        self._now_s = now_s
        self._chance = Random(seed)
        self._secrets = Secrets(b"outage")
        self._accounts = {tenant: _service_account(tenant) for tenant in tenants}
        self._by_email = {account["client_email"]: tenant for tenant, account in self._accounts.items()}
        self._by_bearer: dict[str, str] = {}
        by_address = Receipts(folder / "push.ndjson", Chooser(seed, Faults(), by_address=True), fsync=False)
        plain = Receipts(folder / "sms.ndjson", Chooser(seed, Faults()), fsync=False)
        self._receipts = (by_address, plain)
        self._stage = Stage(plain, self._secrets, 1)
        self._fcm = {tenant: self._services(tenant, by_address, seed) for tenant in tenants}

    def _services(self, tenant: str, receipts: Receipts, seed: int) -> Services:
        self.outages[tenant] = Outages(_KNOWN, self._now_s, seed)
        return Services(receipts, self._accounts[tenant], _HOOK_SECRET, self._stage, 1, self.outages[tenant])

    def push_account(self, tenant: str) -> dict[str, Any]:
        """Return the body of `PUT /v1/providers/{name}` for the tenant's own account of the one project."""
        names = ("client_email", "private_key", "private_key_id")
        settings = {"project_id": PROJECT, "base_url": ORIGIN, "token_url": ORIGIN + TOKEN_PATH}
        credentials = {name: self._accounts[tenant][name] for name in names}
        return {"channel": "push", "vendor": "fcm", "settings": settings, "credentials": credentials}

    def sms_account(self) -> dict[str, Any]:
        """Return the body of `PUT /v1/providers/{name}` for SMS."""
        played = next(played for played in SCRIPTS if played.vendor == "vonage")
        return {"channel": "sms", "vendor": "vonage", **played.account(self._secrets, ORIGIN)}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the vendor's response. Raises `EgressError` when it gives none."""
        await asyncio.sleep(self._chance.uniform(*_LATENCY_S))
        path = urlsplit(request.url).path
        if path == TOKEN_PATH:
            return self._token(request)
        return self._push(request) if path.endswith(":send") else self._text(request)

    async def close(self) -> None:
        """Close the files."""
        for receipts in self._receipts:
            receipts.close()

    def _token(self, request: HttpRequest) -> HttpResponse:
        assertion = parse_qs(request.body.decode())["assertion"][0]
        claims = msgspec.json.decode(jws.extract_compact(assertion.encode()).payload)
        tenant = self._by_email[claims["iss"]]
        (reply,) = self._fcm[tenant].handle([call_of(request)])
        response = answered(reply)
        self._by_bearer["Bearer " + msgspec.json.decode(response.body)["access_token"]] = tenant
        return response

    def _push(self, request: HttpRequest) -> HttpResponse:
        tenant = self._by_bearer.get(request.headers["authorization"], "")
        # The refused tenant's credentials are unknown to the other tenants' services.
        asked = next(iter(self._fcm)) if tenant in ("", self.refused) else tenant
        target = _PUSH.decode(request.body).message
        return self._noted("push", target.data["delivery_id"], target.token, request, self._fcm[asked])

    def _text(self, request: HttpRequest) -> HttpResponse:
        form = form_of(call_of(request))
        return self._noted("sms", form["client-ref"], form["to"], request, next(iter(self._fcm.values())))

    def _noted(self, channel: str, key: str, address: str, request: HttpRequest, asked: Services) -> HttpResponse:
        (reply,) = asked.handle([call_of(request)])
        taken = reply.action == "drop" or reply.status == 200
        notification = key.removeprefix("dlv_")[:32]
        self.called.append(VendorRequest(self._now_s(), channel, notification, address, reply.status, taken))
        if reply.action != "answer":
            raise EgressError("the connection was closed", sent=Sent.MAYBE)
        return answered(reply)


def _service_account(tenant: str) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=_KEY_BITS)
    return {
        "project_id": PROJECT,
        "private_key_id": tenant,
        "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        "client_email": f"{tenant}@{PROJECT}.iam.example",
    }

"""`clarion simulate`: the options of a simulator run as a command."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from clarion.domain.errors import OperatorError
from clarion_lab.simulate.callbacks import TENANT
from clarion_lab.simulate.config import Faults, SimulatorConfig
from clarion_lab.simulate.run import Started, run_simulator

Share = Annotated[float, typer.Option(min=0.0, max=1.0)]
Folder = Annotated[Path, typer.Option(help="folder for certificates, credentials and receipts")]
OutageTexts = Annotated[
    list[str] | None, typer.Option(help="'fcm down 10m', 'twilio 20% 503 from 30s for 5m'; may be repeated")
]
ReceiptsUrl = Annotated[
    str,
    typer.Option(help="URL to call with delivery receipts, such as http://127.0.0.1:8400/v1/receipts/acme/{provider}"),
]
ReceiptsChaos = Annotated[
    bool, typer.Option("--receipts-chaos", help="some of those calls are made twice, and out of order")
]
ByAddress = Annotated[
    bool, typer.Option("--by-address", help="addresses ending in 404 are dead, in 429 or 500 fail once")
]


def simulate(
    folder: Folder = Path("clarion-simulator"),
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    http_port: Annotated[int, typer.Option(min=0, max=65_535, help="HTTP vendors, tokens and webhooks; 0: any")] = 0,
    smtp_port: Annotated[int, typer.Option(min=0, max=65_535, help="mail; 0: any")] = 0,
    seed: Annotated[int, typer.Option(help="same seed, same faults")] = 0,
    latency_ms: Annotated[int, typer.Option(min=0, help="how long each answer takes")] = 0,
    retry_after_s: Annotated[int, typer.Option(min=0, help="Retry-After of throttled calls")] = 1,
    throttle: Share = 0.0,
    error_500: Share = 0.0,
    accept_then_drop: Share = 0.0,
    hang: Share = 0.0,
    reset: Share = 0.0,
    invalid_token: Share = 0.0,
    outage: OutageTexts = None,
    receipts: ReceiptsUrl = "",
    receipts_chaos: ReceiptsChaos = False,
    tenant: Annotated[str, typer.Option(help="replaces {tenant} in the URL of --receipts")] = "",
    fsync: Annotated[bool, typer.Option("--fsync", help="fsync the receipts before each answer")] = False,
    bodies: Annotated[bool, typer.Option("--bodies", help="store the bodies of messages in the receipts")] = False,
    by_address: ByAddress = False,
) -> None:
    """Play every HTTP vendor, a webhook endpoint and a mail server, with faults by share (0 to 1) of the calls.

    An outage is a vendor and its failure: down, 503, 500, 429, 401, hang, reset, drop, flapping or slow, after an
    optional share, and before optional "from", "for" and "retry-after". `POST /outages` with {"outages": [...]}
    replaces all outages.

    With --receipts, vendors send delivery receipts: a message is delivered, but when the address ends in 550 (before
    the @) it bounces, with 551 there is a complaint, and with 552 the recipient replies STOP.

    `providers.json` in the folder holds the accounts of the vendors. Prints one JSON line with addresses when ready.
    """
    config = SimulatorConfig(
        folder=folder,
        host=host,
        http_port=http_port,
        smtp_port=smtp_port,
        seed=seed,
        latency_ms=latency_ms,
        retry_after_s=retry_after_s,
        faults=Faults(throttle, error_500, accept_then_drop, hang, reset, invalid_token),
        fsync=fsync,
        bodies=bodies,
        by_address=by_address,
        outages=tuple(outage or ()),
        receipts_url=_receipts_url(receipts, tenant),
        receipts_chaos=receipts_chaos,
    )
    run_simulator(config, _report)


def _receipts_url(url: str, tenant: str) -> str:
    if TENANT in url and not tenant:
        raise OperatorError("--receipts has {tenant} in it, so --tenant is needed.")
    return url.replace(TENANT, tenant)


def _report(where: Started) -> None:
    typer.echo(msgspec.json.encode(where, enc_hook=str).decode())

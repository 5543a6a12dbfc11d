"""The configuration of a simulator."""

from pathlib import Path

import msgspec


class Faults(msgspec.Struct, frozen=True):
    """Shares of calls, 0 to 1, that fail in each way; together at most 1.

    `throttle` responds with 429 and `Retry-After` (SMTP 454); `error_500` responds with 500 (SMTP 451);
    `accept_then_drop` accepts the message and gives no response; `hang` accepts nothing and never responds; `reset`
    cuts the connection before accepting the message; `invalid_token` reports that the address is dead.
    """

    throttle: float = 0.0
    error_500: float = 0.0
    accept_then_drop: float = 0.0
    hang: float = 0.0
    reset: float = 0.0
    invalid_token: float = 0.0


class SimulatorConfig(msgspec.Struct, frozen=True):
    """One run. Port 0 lets the system choose; `folder` gets certificates, credentials and the receipts file, which
    contains the `bodies` of messages if set. With `by_address`, addresses of FCM and of the vendors in `vendors` choose
    their response: 404 at the end is dead, 429 and 500 fail with that status once. `outages` have the syntax of
    `outages.parse`. `receipts_url` is called with delivery receipts: `{provider}` in it is the vendor's name; with
    `receipts_chaos` some calls are made twice, and out of order."""

    folder: Path
    host: str = "127.0.0.1"
    http_port: int = 0
    smtp_port: int = 0
    seed: int = 0
    latency_ms: int = 0
    retry_after_s: int = 1
    faults: Faults = Faults()
    fsync: bool = False
    bodies: bool = False
    by_address: bool = False
    outages: tuple[str, ...] = ()
    receipts_url: str = ""
    receipts_chaos: bool = False

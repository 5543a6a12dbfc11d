"""What a simulator run is told."""

from pathlib import Path

import msgspec


class Faults(msgspec.Struct, frozen=True):
    """Shares of calls, 0 to 1, that go wrong in each way; together at most 1.

    `throttle` answers 429 with `Retry-After` (SMTP 454); `error_500` answers 500 (SMTP 451); `accept_then_drop` takes
    the message and gives no answer; `hang` takes nothing and never answers; `reset` cuts the connection before taking
    it; `invalid_token` says that the address is dead.
    """

    throttle: float = 0.0
    error_500: float = 0.0
    accept_then_drop: float = 0.0
    hang: float = 0.0
    reset: float = 0.0
    invalid_token: float = 0.0


class SimulatorConfig(msgspec.Struct, frozen=True):
    """One run. Port 0 lets the system choose; `folder` gets certificates, credentials and the receipts file, with the
    `bodies` of messages in it when asked. `by_address` lets addresses of FCM and of the vendors in `vendors` choose their
    answer: 404 at the end is dead, 429 and 500 go wrong that way once. `outages` are as `outages.parse` reads
    them. `receipts_url` is called with what becomes of messages: `{provider}` in it is the vendor's name; under
    `receipts_chaos` some calls come twice, and not in order."""

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

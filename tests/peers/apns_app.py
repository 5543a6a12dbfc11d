"""An app that responds as APNs does, for any HTTP/2 server. It runs in the environment of peers.

`/3/device/<token>` accepts once as many calls are open at a time as the header `x-together` says, or after a while; a token that
ends in `dead` is unregistered. `/counts` returns the number of calls.
"""

import asyncio
import contextlib
import json
from typing import Any

COUNTS: dict[str, Any] = {"calls": 0, "open": 0, "open_most": 0, "ports": []}
ENOUGH = asyncio.Condition()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Respond to a call."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/counts":
        await _say(send, 200, {**COUNTS, "version": scope["http_version"]})
        return
    COUNTS["calls"] += 1
    COUNTS["open"] += 1
    COUNTS["open_most"] = max(COUNTS["open_most"], COUNTS["open"])
    if scope["client"][1] not in COUNTS["ports"]:
        COUNTS["ports"].append(scope["client"][1])
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    wanted = int(headers.get("x-together", "1"))
    async with ENOUGH:
        ENOUGH.notify_all()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ENOUGH.wait_for(lambda: COUNTS["open_most"] >= wanted), 10)
    COUNTS["open"] -= 1
    if scope["path"].endswith("dead"):
        await _say(send, 410, {"reason": "Unregistered", "timestamp": 1_790_000_000_000})
    else:
        await _say(send, 200, None, (b"apns-id", headers["apns-id"].encode()))


async def _say(send: Any, status: int, body: Any, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": json.dumps(body).encode() if body is not None else b""})

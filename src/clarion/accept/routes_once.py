"""Answering a request under its idempotency key: it is carried out once, by whichever process comes first."""

from collections.abc import Awaitable, Callable

from clarion.accept.door import Door
from clarion.accept.idempotency import REPLAYED, body_hash, entry
from clarion.ports.journal import IdempotencyEntry, StaleKey
from clarion.ports.web import Call, Reply

Remember = Callable[[bytes], list[IdempotencyEntry]]
"""Returns what has to be stored, in the append of the request, for an answer to be given again."""


async def answer_once(door: Door, call: Call, key: str | None, take: Callable[[Remember], Awaitable[Reply]]) -> Reply:
    """Return what `take` answers, or what was answered before under the key. Without a key `take` simply runs."""
    if key is None:
        return await take(lambda _answer: [])
    # The path counts too: the same body can be meant for another template.
    tenant, digest = call.caller.tenant, body_hash("\n".join(call.path.values()).encode() + call.raw)
    answer = door.once.begin(tenant, key, digest, door.clock.now_ms())
    if answer is not None:
        return Reply(raw=answer, status=202, headers=REPLAYED)
    try:
        return await take(lambda answer: [entry(tenant, key, digest, answer, door.clock.now_ms())])
    except StaleKey:
        answer = door.once.given(tenant, key, digest, door.clock.now_ms())
        return Reply(raw=answer, status=202, headers=REPLAYED)
    finally:
        door.once.end(tenant, key)

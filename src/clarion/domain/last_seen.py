"""When users were last seen, so that a process does not write it again too soon."""

from clarion.domain.limits_processes import SEEN_EVERY_MS, SEEN_USERS_MAX


class LastSeen:
    """The users that a process has seen of late: at most `SEEN_USERS_MAX`, all of which are forgotten at once."""

    def __init__(self) -> None:
        self._written_ms: dict[tuple[str, str], int] = {}

    def is_due(self, tenant: str, user_id: str, now_ms: int) -> bool:
        """Return whether it has to be written that a user was seen now, which it then counts as; at most every
        `SEEN_EVERY_MS`."""
        user, written_ms = (tenant, user_id), self._written_ms
        if now_ms - written_ms.get(user, -SEEN_EVERY_MS) < SEEN_EVERY_MS:
            return False
        if len(written_ms) >= SEEN_USERS_MAX:
            written_ms.clear()
        written_ms[user] = now_ms
        return True

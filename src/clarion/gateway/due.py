"""Whose inbox changes by itself next, and when: items come back from a snooze, or expire."""

from typing import Final

User = tuple[str, str]
_BUCKET_MS: Final = 1_000


class Due:
    """Users by the time at which what is known of them is not true any more; one time for each."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[User]] = {}
        self._times: dict[User, int] = {}

    def set(self, user: User, at_ms: int | None) -> None:
        """Record when a user is due; None: at no time."""
        before_ms = self._times.pop(user, None)
        if before_ms is not None:
            bucket = self._buckets[before_ms // _BUCKET_MS]
            bucket.discard(user)
            if not bucket:
                del self._buckets[before_ms // _BUCKET_MS]
        if at_ms is not None:
            self._times[user] = at_ms
            self._buckets.setdefault(at_ms // _BUCKET_MS, set()).add(user)

    def of(self, user: User) -> int | None:
        """Return when a user is due."""
        return self._times.get(user)

    def by(self, now_ms: int) -> list[User]:
        """Return the users who are due. They stay so until another time is set."""
        last = now_ms // _BUCKET_MS
        found = [user for bucket, users in self._buckets.items() if bucket <= last for user in users]
        return [user for user in found if self._times[user] <= now_ms]

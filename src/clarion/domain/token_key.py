"""The key that a tenant's user tokens are signed with: which of its keys it is, and how long the one before counts."""

import msgspec


class TokenKey(msgspec.Struct, frozen=True):
    """The number of a tenant's current key, counted from 0; tokens of the key before are valid until a time."""

    generation: int = 0
    previous_until_ms: int = 0

    def permits(self, generation: int, now_ms: int) -> bool:
        """Return whether tokens of a key are valid. A later key than this is one that this process has not heard of
        yet: nobody else can have signed with it."""
        if generation >= self.generation:
            return True
        return generation == self.generation - 1 and now_ms < self.previous_until_ms

"""A bound on bytes that several owners hold together."""


class ByteBudget:
    """A number of bytes that may be allocated at a time."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.allocated = 0

    def allocate(self, size: int) -> bool:
        """Allocate bytes. Returns False, and allocates nothing, when fewer are free."""
        if self.allocated + size > self._bytes_max:
            return False
        self.allocated += size
        return True

    def free(self, size: int) -> None:
        """Free allocated bytes."""
        self.allocated -= size

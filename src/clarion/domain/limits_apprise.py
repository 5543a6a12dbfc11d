"""Named bounds of messages that go out through the Apprise library."""

from typing import Final

APPRISE_TIMEOUT_MS: Final = 30_000
"""For a whole message, however many calls the service takes."""
APPRISE_CALLS_MAX: Final = 16
"""Calls a service may make for one message: signing in, finding a room, one call for each target."""
APPRISE_THREADS_MAX: Final = 8
"""The library blocks, so a message holds a thread for as long as it takes."""
APPRISE_ANSWER_BYTES_MAX: Final = 1 << 20
"""Of one answer. A list of rooms is longer than the answer to a send."""
APPRISE_WORDS_MAX: Final = 8
"""Lines kept of what the library says about one message."""
APPRISE_PROBE_CHARS: Final = 24
"""Length of the piece of a text by which a call is recognized as one that carries it."""
APPRISE_CLOSING_MS: Final = 2_000
"""What a message gets beyond its time, to stop by itself."""

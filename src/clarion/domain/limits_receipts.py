"""Named bounds of reading what providers tell afterwards. Times in the unit of the name."""

from typing import Final

CALL_FIELDS_MAX: Final = 200
"""Fields of a form or query a provider calls with; the longest known has about forty."""
INBOUND_TEXT_CHARS_MAX: Final = 4_096
"""What is kept of a person's message: as long as the longest text WhatsApp takes."""
HANDSHAKE_CHARS_MAX: Final = 200
"""The longest challenge that is echoed; Meta's have ten digits."""
RECEIPT_AHEAD_MS_MAX: Final = 10 * 60 * 1000
"""How far a provider's clock may be ahead of ours."""
SECONDS_DIGITS_MAX: Final = 11
"""Unix seconds with more digits are none: they are milliseconds, or nonsense."""

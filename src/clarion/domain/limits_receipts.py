"""Named bounds of reading what providers tell afterwards. Times in the unit of the name."""

from typing import Final

CALL_FIELDS_MAX: Final = 200
"""Fields of a form or query a provider calls with; the longest known has about forty."""
CALL_FORM_BYTES_MAX: Final = 64 * 1024
"""Bytes of such a form or query. It has to be taken apart before its signature can be checked, which takes long for large ones;
the longest text of a person has 20 KB."""
INBOUND_TEXT_CHARS_MAX: Final = 4_096
"""What is kept of a person's message: as long as the longest text WhatsApp takes."""
HANDSHAKE_CHARS_MAX: Final = 200
"""The longest challenge that is echoed; Meta's have ten digits."""
RECEIPT_AHEAD_MS_MAX: Final = 10 * 60 * 1000
"""How far a provider's clock may be ahead of ours."""
SECONDS_DIGITS_MAX: Final = 11
"""Unix seconds with more digits are none: they are milliseconds, or nonsense."""

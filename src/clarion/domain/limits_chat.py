"""Named bounds of what WhatsApp and chat vendors take. Sizes in characters."""

from typing import Final

WHATSAPP_TEXT_CHARS_MAX: Final = 4_096
SLACK_TEXT_CHARS_MAX: Final = 40_000
"""Slack cuts a longer text off and posts the rest."""
SLACK_BLOCKS_MAX: Final = 50
SLACK_BLOCK_TEXT_CHARS_MAX: Final = {"header": 150, "section": 3_000}
"""The text of a block, by the block's type."""

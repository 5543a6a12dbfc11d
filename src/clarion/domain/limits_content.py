"""Named bounds of content: templates, their versions, locales and what channels carry."""

from typing import Final

PUSH_PAYLOAD_BYTES_MAX: Final = 4_096
"""What FCM, APNs and Web Push carry."""
PUSH_ENVELOPE_BYTES: Final = 256
"""Kept free of them for what vendors put around the content."""
WHATSAPP_PARAMETERS_MAX: Final = 64
WHATSAPP_PARAMETER_CHARS_MAX: Final = 1_024
COMPILED_CHANNELS_MAX: Final = 4_096
"""Channels of templates, by locale, that a process keeps compiled."""
LOCALES_PER_TEMPLATE_SEEN_MAX: Final = 1_024
"""Users' locales for which a process remembers what suits them, for each template."""

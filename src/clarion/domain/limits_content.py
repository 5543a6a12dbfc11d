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
WORDED_MAX: Final = 4_096
"""Numbers, amounts, dates and the like whose words in a locale a process remembers, of each kind."""
WORDED_TEXT_CHARS_MAX: Final = 64
"""The longest text that may stand for a number, a date or a style."""
WORDED_NUMBER_MAX: Final = 10**18
WORDED_DECIMALS_MAX: Final = 18
WORDED_ITEMS_MAX: Final = 200
WORDED_LIST_CHARS_MAX: Final = 64 * 1024
"""Items of a list that becomes a sentence, and characters of all of them."""
SCHEMA_BYTES_MAX: Final = 64 * 1024
SCHEMA_DEPTH_MAX: Final = 32
"""Levels of a JSON Schema, and of a path that a template reads, that are looked at."""
SCHEMAS_MAX: Final = 4_096
"""Compiled JSON Schemas that a process keeps."""
SCHEMA_FAULTS_MAX: Final = 10
"""Faults of one piece of data that are told."""
SCHEMA_PATTERN_BYTES_MAX: Final = 256 * 1024
"""What a pattern of a schema may become when it is compiled."""
TEMPLATES_PER_TENANT_MAX: Final = 2_000
TEMPLATE_VERSIONS_MAX: Final = 1_000
"""Versions of one template."""
LOCALES_PER_TEMPLATE_MAX: Final = 100
MESSAGES_PER_LOCALE_MAX: Final = 2_000
MESSAGE_FORMS_MAX: Final = 32
"""Plural categories, or values of a selector, of one message."""
SAMPLE_BYTES_MAX: Final = 64 * 1024
DESCRIPTION_CHARS_MAX: Final = 1_000
VERSION_NOTE_CHARS_MAX: Final = 1_000
DIFF_LINES_MAX: Final = 2_000
"""Lines of one part, on either side, that are compared one by one."""

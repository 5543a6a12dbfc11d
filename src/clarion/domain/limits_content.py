"""Named bounds of content: templates, their versions, locales and what channels carry."""

from typing import Final

PUSH_PAYLOAD_BYTES_MAX: Final = 4_096
"""What FCM, APNs and Web Push carry."""
PUSH_ENVELOPE_BYTES: Final = 256
"""Kept free of them for what vendors put around the content."""
WHATSAPP_PARAMETERS_MAX: Final = 64
WHATSAPP_PARAMETER_CHARS_MAX: Final = 1_024
COMPILED_CHANNELS_MAX: Final = 2_048
"""Channels of templates, by locale, that a process keeps compiled: an e-mail takes about 150 kB, a push 16."""
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
SCHEMA_NODES_KEPT_MAX: Final = 200_000
"""Nodes of all JSON Schemas that a process keeps compiled, at about 300 bytes each."""
SCHEMA_NODES_MAX: Final = 2_000
"""Nodes of a JSON Schema, with those counted again that are referred to."""
SCHEMA_WORK_MAX: Final = 20_000_000
"""Nodes of a JSON Schema times bytes of the data that is checked by it."""
SCHEMA_PATTERN_BYTES_MAX: Final = 256 * 1024
"""What a pattern of a schema may become when it is compiled."""
TEMPLATES_PER_TENANT_MAX: Final = 2_000
TEMPLATES_PAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Templates read at once for a list, by what they are in the store."""
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

CONFINED_CHILDREN_MAX: Final = 2
"""Processes that build and preview drafts at a time."""
CONFINED_WAITING_MAX: Final = 64
"""Drafts that wait for one of them; more are refused."""
CONFINED_WAITING_PER_TENANT_MAX: Final = 16
CONFINED_JOBS_MAX: Final = 1_000
"""Jobs after which such a process makes way for a fresh one."""
CONFINED_FILES_MAX: Final = 16
CONFINED_NICE: Final = 5
"""How far drafts stand behind everything else for CPU time."""
CONFINED_START_MS_MAX: Final = 30_000
CONFINED_END_MS_MAX: Final = 2_000
"""How long a process whose input was closed may take to end before it is killed."""
CONFINED_FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""A job or an answer."""
DRAFT_RENDER_CPU_MS_MAX: Final = 250
DRAFT_RENDER_MEMORY_MB_MAX: Final = 64
DRAFT_RENDER_WAIT_MS_MAX: Final = 5_000
"""How long a rendering may take by the clock on the wall, on a machine that is busy with other things."""
DRAFT_BUILD_CPU_MS_MAX: Final = 5_000
DRAFT_BUILD_MEMORY_MB_MAX: Final = 256
DRAFT_BUILD_WAIT_MS_MAX: Final = 15_000

BUILT_PART_BYTES_MAX: Final = 512 * 1024
"""One part with partials, layout and styles put in."""
BUILT_BYTES_MAX: Final = 8 * 1024 * 1024
"""All parts of a template in all locales."""
PARTIAL_DEPTH_MAX: Final = 5
TEMPLATE_TAGS_MAX: Final = 10_000
"""Tags of one e-mail."""
MARKUP_DEPTH_MAX: Final = 200
"""Elements inside one another: what inlines styles descends into them."""
MARKUP_ELEMENTS_MAX: Final = 20_000
INLINING_WORK_MAX: Final = 1_000_000
"""Style rules times elements of one e-mail."""
FOLDER_FILES_MAX: Final = 20_000
"""Files of a folder of templates that the command line reads."""

HANDLEBARS_COMPILE_CPU_MS_MAX: Final = 230
HANDLEBARS_TOKENS_MAX: Final = 4_000
"""Names, signs and texts of one part: each takes about 50 us to parse and compile."""
HANDLEBARS_BRANCHES_MAX: Final = 64
"""Times `else if` of one block."""
HANDLEBARS_WORK_CHARS_MAX: Final = 4 * 1024 * 1024
"""Characters and items that the helpers of one render look at."""
HANDLEBARS_MEMORY_BYTES_MAX: Final = 48 * 1024 * 1024
"""Memory of one JavaScript engine, for the templates it holds and the one it renders."""
HANDLEBARS_STACK_BYTES_MAX: Final = 512 * 1024
HANDLEBARS_SANDBOXES_MAX: Final = 16
"""JavaScript engines of a process: one for each thread that renders."""
HANDLEBARS_LOADED_MAX: Final = 256
HANDLEBARS_LOADED_CHARS_MAX: Final = 2 * 1024 * 1024
"""Templates that one engine keeps ready, and the code of all of them."""
HANDLEBARS_ROUNDS_MAX: Final = 4
"""Times a template is rendered before all that its conditions want formatted is known."""
HANDLEBARS_FORMATTED_MAX: Final = 2_000
"""Formatted values of conditions that an engine remembers."""
LIQUID_TAGS_MAX: Final = 5_000
LIQUID_CODE_CHARS_MAX: Final = 32 * 1024
"""Tags and outputs of one part, and what is written in all of them together."""
LIQUID_TAG_CHARS_MAX: Final = 8 * 1024
LIQUID_BLANKS_MAX: Final = 200
LIQUID_BRACKETS_MAX: Final = 100
"""In one tag: these are what its lexer tries again and again."""
RENDER_ITEMS_MAX: Final = 10_000
"""Items of a list that a filter works on."""
RENDER_CYCLES_MAX: Final = 1_000
TREE_DEPTH_MAX: Final = 32
"""Levels of a structured part, such as the data of a push."""
XML_LEVELS_MAX: Final = 32
"""Levels of a translator's XML."""
TRANSLATIONS_BYTES_MAX: Final = 8 * 1024 * 1024
"""A translator's file: source and target of all messages, with what stands around them."""
BRAND_TEXT_CHARS_MAX: Final = 500
STRAIGHT_PIECES_MAX: Final = 64
"""Texts and tags of a source that are put together without python-liquid, and its clock."""
STRAIGHT_LIST_ITEMS_MAX: Final = 100
"""Items of a list that this may have to go through."""
STRAIGHT_REMEMBERED_MAX: Final = 512
"""Formatted values that each place of a template remembers."""

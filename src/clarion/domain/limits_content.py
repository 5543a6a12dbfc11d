"""Named bounds of templates, rendering, locales and channels. Sizes are in bytes, times in the unit of the name."""

from typing import Final

TEMPLATE_BYTES_MAX: Final = 1024 * 1024
TEMPLATES_PER_TENANT_MAX: Final = 2_000
TEMPLATES_PAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Templates read at once for a list, by their stored size."""
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
"""Lines of each side of a part that a diff compares."""
FOLDER_FILES_MAX: Final = 20_000
"""Files that the command line reads from a folder of templates."""
XML_LEVELS_MAX: Final = 32
"""Levels of nested elements in a translator's XML file."""
XML_TAG_BYTES_MAX: Final = 128 * 1024
"""One tag of such a file, with the text after it."""
TRANSLATIONS_BYTES_MAX: Final = 8 * 1024 * 1024
"""A translator's file: source and target of all messages, with the markup around them."""
BRAND_TEXT_CHARS_MAX: Final = 500
TREE_DEPTH_MAX: Final = 32
"""Levels of a structured part, such as the data of a push."""

SCHEMA_BYTES_MAX: Final = 64 * 1024
SCHEMA_DEPTH_MAX: Final = 32
"""Levels examined of a JSON Schema, and of a path that a template reads."""
SCHEMA_NODES_KEPT_MAX: Final = 200_000
"""Nodes of all compiled JSON Schemas that a process caches, at about 300 bytes each."""
SCHEMA_NODES_MAX: Final = 2_000
"""Nodes of a JSON Schema; those referred to are counted once per reference."""
SCHEMA_WORK_MAX: Final = 20_000_000
"""Nodes of a JSON Schema times bytes of the data that is validated against it."""
SCHEMA_PATTERN_BYTES_MAX: Final = 256 * 1024
"""Compiled size of a pattern of a schema."""

CONFINED_CHILDREN_MAX: Final = 2
"""Child processes that build and preview drafts at the same time."""
CONFINED_WAITING_MAX: Final = 64
"""Drafts that wait for a child process; more are refused."""
CONFINED_WAITING_PER_TENANT_MAX: Final = 16
CONFINED_JOBS_MAX: Final = 1_000
"""Jobs after which a child process is replaced by a new one."""
CONFINED_FILES_MAX: Final = 16
CONFINED_NICE: Final = 5
"""The nice value of child processes: drafts yield CPU time to all other work."""
CONFINED_START_MS_MAX: Final = 30_000
CONFINED_END_MS_MAX: Final = 2_000
"""How long a process whose input was closed may take to end before it is killed."""
CONFINED_FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""A job for a child process, or its answer."""
DRAFT_RENDER_CPU_MS_MAX: Final = 250
DRAFT_RENDER_MEMORY_MB_MAX: Final = 64
DRAFT_RENDER_WAIT_MS_MAX: Final = 5_000
"""How long a render may take in wall-clock time on a busy machine."""
DRAFT_BUILD_CPU_MS_MAX: Final = 5_000
DRAFT_BUILD_MEMORY_MB_MAX: Final = 256
DRAFT_BUILD_WAIT_MS_MAX: Final = 15_000

BUILT_PART_BYTES_MAX: Final = 512 * 1024
"""One part with its partials, layout and styles included."""
BUILT_BYTES_MAX: Final = 8 * 1024 * 1024
"""All parts of a template in all locales."""
PARTIAL_DEPTH_MAX: Final = 5
TEMPLATE_TAGS_MAX: Final = 10_000
"""Tags of one e-mail."""
MARKUP_DEPTH_MAX: Final = 200
"""Levels of nested elements: the CSS inliner recurses into them."""
MARKUP_ELEMENTS_MAX: Final = 20_000
INLINING_WORK_MAX: Final = 1_000_000
"""Style rules times elements of one e-mail."""

RENDER_OUTPUT_BYTES_MAX: Final = 512 * 1024
RENDER_LOOP_MAX: Final = 10_000
RENDER_NAMESPACE_BYTES_MAX: Final = 1024 * 1024
RENDER_DEPTH_MAX: Final = 20
RENDER_CPU_MS_MAX: Final = 120
RENDER_ITEMS_MAX: Final = 10_000
"""Items of a list that a filter processes."""
RENDER_CYCLES_MAX: Final = 1_000
LOOP_RENDER_CPU_MS_MAX: Final = 25
"""CPU time that the render of one delivery may use on an event loop; a render that needs more runs in a thread from its
start."""
COMPILED_TEMPLATES_MAX: Final = 5_000
COMPILED_CHANNELS_MAX: Final = 2_048
"""Compiled channels of templates, by locale, that a process caches: about 150 kB for an e-mail, 16 kB for a push."""
LOCALES_PER_TEMPLATE_SEEN_MAX: Final = 1_024
"""Users' locales per template for which a process caches the matching locale of the template."""
WORDED_MAX: Final = 4_096
"""Formatted numbers, amounts, dates and the like that a process caches by locale, of each kind."""
WORDED_TEXT_CHARS_MAX: Final = 64
"""The longest text accepted as a number, a date or a style."""
WORDED_NUMBER_MAX: Final = 10**18
WORDED_DECIMALS_MAX: Final = 18
WORDED_ITEMS_MAX: Final = 200
WORDED_LIST_CHARS_MAX: Final = 64 * 1024
"""Items of a list that is formatted as a sentence, and characters of all of them."""

HANDLEBARS_COMPILE_CPU_MS_MAX: Final = 230
HANDLEBARS_TOKENS_MAX: Final = 4_000
"""Names, symbols and texts of one part: each takes about 50 us to parse and compile."""
HANDLEBARS_BRANCHES_MAX: Final = 64
"""`else if` branches of one block."""
HANDLEBARS_WORK_CHARS_MAX: Final = 4 * 1024 * 1024
"""Characters and items that the helpers of one render process."""
HANDLEBARS_MEMORY_BYTES_MAX: Final = 48 * 1024 * 1024
"""Memory of one JavaScript runtime, for its loaded templates and the current render."""
HANDLEBARS_STACK_BYTES_MAX: Final = 512 * 1024
HANDLEBARS_SANDBOXES_MAX: Final = 16
"""JavaScript runtimes of a process: one for each thread that renders."""
HANDLEBARS_LOADED_MAX: Final = 256
HANDLEBARS_LOADED_CHARS_MAX: Final = 2 * 1024 * 1024
"""Templates that one runtime holds loaded, and characters of their code together."""
HANDLEBARS_ROUNDS_MAX: Final = 4
"""Times a template is rendered until all formatted values that its conditions need are known."""
HANDLEBARS_FORMATTED_MAX: Final = 2_000
"""Formatted values of conditions that a runtime caches."""

LIQUID_TAGS_MAX: Final = 5_000
LIQUID_CODE_CHARS_MAX: Final = 32 * 1024
"""Tags and outputs of one part, and characters inside all of them together."""
LIQUID_TAG_CHARS_MAX: Final = 8 * 1024
LIQUID_BLANKS_MAX: Final = 200
LIQUID_BRACKETS_MAX: Final = 100
"""Characters of one tag, its blanks in a row and its opening brackets of a kind: the lexer backtracks over them."""
STRAIGHT_PIECES_MAX: Final = 64
"""Texts and tags of a source that is rendered without python-liquid and its time limit."""
STRAIGHT_LIST_ITEMS_MAX: Final = 100
"""Items of a list that such a render may have to process."""
STRAIGHT_REMEMBERED_MAX: Final = 512
"""Formatted values that each output of a template caches."""

SUBJECT_CHARS_MAX: Final = 998
ATTACHMENTS_MAX: Final = 10
ATTACHMENT_NAME_CHARS_MAX: Final = 150
CONTENT_TYPE_CHARS_MAX: Final = 127
CID_CHARS_MAX: Final = 78
ATTACHMENTS_INLINE_BYTES_MAX: Final = 768 * 1024
"""Attachments inside a request: a body of 1 MiB holds no more than this in base64."""
ATTACHMENTS_BYTES_MAX: Final = 15 * 1024 * 1024
"""All files of an e-mail together, including fetched ones."""
UNSUBSCRIBE_TOKEN_CHARS_MAX: Final = 840
"""Together with the installation's URL before it, the token fits a header line."""
UNSUBSCRIBE_BODY_BYTES_MAX: Final = 4 * 1024
SENDGRID_CALL_BYTES_MAX: Final = 30 * 1024 * 1024
MAILGUN_MESSAGE_BYTES_MAX: Final = 25 * 1024 * 1024
POSTMARK_PART_BYTES_MAX: Final = 5 * 1024 * 1024
"""The text or the HTML of a message."""
POSTMARK_MESSAGE_BYTES_MAX: Final = 10 * 1024 * 1024
SES_MESSAGE_BYTES_MAX: Final = 40 * 1024 * 1024
"""A message with its attachments in base64."""
SES_HEADER_CHARS_MAX: Final = 995

PUSH_PAYLOAD_BYTES_MAX: Final = 4_096
"""The largest payload that FCM, APNs and Web Push accept."""
PUSH_ENVELOPE_BYTES: Final = 256
"""Part of the payload reserved for the fields that vendors add to the content."""
WHATSAPP_PARAMETERS_MAX: Final = 64
WHATSAPP_PARAMETER_CHARS_MAX: Final = 1_024
WHATSAPP_TEXT_CHARS_MAX: Final = 4_096
SLACK_TEXT_CHARS_MAX: Final = 40_000
"""Slack truncates a longer text instead of refusing it."""
SLACK_BLOCKS_MAX: Final = 50
SLACK_BLOCK_TEXT_CHARS_MAX: Final = {"header": 150, "section": 3_000}
"""The text of a block, by the block's type."""

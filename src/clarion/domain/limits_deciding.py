"""Every named bound of what decides: definitions, expressions, workflows, caps, holds, audiences, schedules, quotas. Sizes in
bytes, times in the unit of the name."""

from typing import Final

from clarion.domain.limits import FRAME_RECORDS_MAX

DURATION_TEXTS_MAX: Final = 10_000
"""Texts of durations a process remembers the length of."""
YEAR_MS: Final = 365 * 24 * 3600 * 1000
WAIT_MS_MAX: Final = YEAR_MS
"""The longest delay, digest window or wait of a workflow."""
EXPRESSION_CHARS_MAX: Final = 1_000
EXPRESSIONS_MAX: Final = 10_000
"""Compiled expressions a process keeps."""
EXPRESSION_WORK_MAX: Final = 20_000_000
"""Work of one evaluation, about five nanoseconds each."""
DEFINITIONS_PER_KIND_MAX: Final = 1_000
"""Workflows, segments, schedules or event rules of one tenant."""
DEFINITION_BYTES_MAX: Final = 256 * 1024
WORKFLOW_STEPS_MAX: Final = 100
ROUTE_DEPTH_MAX: Final = 4
ROUTE_MEMBERS_MAX: Final = 8
CAPS_PER_CATEGORY_MAX: Final = 8
CAP_BLOCK_USERS: Final = 64
"""Users whose cap times share one row of the store."""
QUIET_WINDOWS_MAX: Final = 20
DIGEST_ITEMS_MAX: Final = 1_000
"""Events of one digest; the one that fills it closes it."""
FETCH_BODY_BYTES_MAX: Final = 64 * 1024
FETCH_TIMEOUT_MS_MAX: Final = 60_000
FETCH_ATTEMPTS_MAX: Final = 10
FETCHES_UNDER_WAY_MAX: Final = 64
"""Fetch steps one worker process runs at a time; more wait for a place."""
FILTER_DEPTH_MAX: Final = 8
FILTER_NODES_MAX: Final = 100
EVENT_NOTIFICATIONS_MAX: Final = 100
"""Notifications that one event may make."""
INSTANCE_STEPS_MAX: Final = 1_000
"""Steps an instance may take; the graph has no cycles, so only a broken build gets there."""
INSTANCE_BYTES_MAX: Final = 1024 * 1024
"""State of one workflow instance: data, variables and results together."""
HOLD_MS_MAX: Final = 7 * 24 * 3600 * 1000
CAP_BLOCKS_MAX: Final = 65_536
"""Blocks of cap times a process remembers, 256 bytes each."""
ZONES_MAX: Final = 2_048
"""Time zones a process keeps by name."""
QUIET_SPANS_MAX: Final = 10_000
"""Quiet hours a process keeps worked out for a zone and day."""

CRON_CHARS_MAX: Final = 200
RRULE_CHARS_MAX: Final = 500
RECURRENCE_DAYS_MAX: Final = 30 * 366
"""How far ahead the next time of a rule is looked for; one that has none by then has none."""
RECURRENCE_COUNT_MAX: Final = 1_000
"""Times of a rule with COUNT: they have to be counted from its start."""
RECURRENCE_INTERVAL_MAX: Final = 1_000_000
SCHEDULE_START_YEARS: Final = range(2000, 2100)
SCHEDULE_TOO_LATE_MS_MAX: Final = 7 * 24 * 3600 * 1000
SCHEDULE_PREVIEW_TIMES: Final = 10
SCHEDULE_REPAIR_MS: Final = 10 * 60 * 1000
"""How often schedules without a timer are looked for: none has one while the process dies between storing the schedule and
setting its timer."""
FILTER_VALUES_MAX: Final = 1_000
"""Values that one filter compares with, all its `in` lists together."""
FILTER_CONTAINS_MAX: Final = 10
"""Uses of `contains` in one filter: each reads whole lists of a user."""
FILTER_TEXT_CHARS_MAX: Final = 1_000
"""Characters of a text that an attribute is compared with."""
SEGMENT_SCAN_USERS_MAX: Final = 10_000
"""Users looked at for one page of a filtered audience; the page says where to go on."""
SEGMENT_LOOK_MS: Final = 20
"""How long one such page looks; users with large attributes take long to look at."""
SEGMENT_SAMPLE_USERS: Final = 10
"""Users a preview names."""
AUDIENCE_COUNT_MS_MAX: Final = 5_000
"""How long an audience is counted; what is counted by then is said to be `at_least`."""
AUDIENCE_COUNTS_MAX: Final = 8
"""Counts of audiences under way or waiting in one process; more are refused."""
CAP_PER_MS_MIN: Final = 60_000
CAP_GAP_MS_MIN: Final = 1_000
"""A cap lets one through every second at most: its times are kept in seconds."""
CONTACTS_PER_CHANNEL_MAX: Final = 10
"""Further addresses of a user on one channel."""
SEEN_EVERY_MS: Final = 3600 * 1000
"""How often it is written down, at most, that a user was seen."""
SEEN_USERS_MAX: Final = 100_000
"""Users a process remembers to have seen lately."""
INSTANT_MS_MAX: Final = 253_402_214_400_000
"""The last day of the year 9999, in UTC: what is later cannot be written in every zone."""
SEEN_WITHIN_MS_MAX: Final = 10 * YEAR_MS
DIGEST_BYTES_MAX: Final = INSTANCE_BYTES_MAX // 2
"""Data of one digest's events together; the one that fills it closes it."""
FETCH_GRACE_MS: Final = 30_000
"""How long after its time-out a fetch step waits for an answer before it takes the call for lost and repeats it."""
FETCH_LOST_MAX: Final = 10
"""Calls of one fetch step that may be lost to dying workers before the step has failed."""
FETCH_PAUSE_MS_MAX: Final = 60_000
"""The longest pause before a failed fetch is tried again."""
FETCHES_WAITING_MAX: Final = 10_000
"""Fetch steps waiting in one worker process for a place; what is over is repeated when its answer stays out."""
SIGNAL_WAITS_MAX: Final = 10_000
"""Instances that one signal can wake."""
CANCELLED_KEPT_MAX: Final = 200_000
"""Cancelled ids a planner keeps, so that what starts later than it was cancelled ends at once."""
SEEN_RECHECK_MS: Final = 2_000
"""How long after beginning to wait for a sighting it is looked for again: one may have been under way."""
LOCAL_LATE_MS_MAX: Final = 3600 * 1000
"""How late something for the recipient's own time may be sent."""
QUOTA_FIGURE_MAX: Final = 10**12
"""The largest figure of a quota."""
QUOTA_CLOCK_STEP_MS: Final = 1_000
"""How far the clocks of two processes can be apart; what is further ahead is from before a restart of the machine."""
QUOTA_DAILY_AHEAD_MAX: Final = 1_000
"""Events of a daily quota a process takes ahead; those it does not use are lost when it ends."""
QUOTA_STORE_WAIT_MS: Final = 50
"""How long a request waits for its turn at the count of all processes; the event loop waits with it."""
READ_ALL_SIGHTINGS_MAX: Final = FRAME_RECORDS_MAX
"""Items, newest first, whose being seen is told when a user marks everything as read."""
QUOTA_METERS_MAX: Final = 10_000
"""Callers with a quota a process keeps ready, and buckets of them; when there are more, all are read afresh."""
SCHEDULE_CLOCK_BACK_MS_MAX: Final = 24 * 3600 * 1000
"""How far a clock may have gone back for what was fired before to count still."""
EVENT_RULE_NOTIFY_MAX: Final = 50
EVENT_RULE_EXPRESSIONS_MAX: Final = 200
"""Expressions of one event rule: all of them may be evaluated before other requests get their turn."""
EVENT_WORK_MS_MAX: Final = 1_000
"""How long the rules for one event may take together; an event that takes longer is refused."""
CANCELLATION_KEY_CHARS_MAX: Final = 255
CANCELLATION_KEY_TTL_MS: Final = 30 * 24 * 3600 * 1000
"""How long after it was to be sent a notification is found by its cancellation key; those of workflows longer."""
CANCELLATIONS_PER_APPEND_MAX: Final = 1_000
CANCELLATIONS_PER_CALL_MAX: Final = 10_000
"""Notifications one call cancels by key; the caller is told when there are more."""
THROTTLE_LIMIT_MAX: Final = 1_000
"""How many a throttle step lets pass in its time: it remembers each of them."""
WORKFLOW_EXPRESSIONS_MAX: Final = 300
"""Expressions of one workflow: in the worst case an instance evaluates all of them in one move."""
WORKFLOW_NAMES_MAX: Final = 100
"""Names under `variables` of a workflow, and under `data` or `values` of one of its steps."""
FETCH_HEADERS_MAX: Final = 20
FETCH_HEADER_CHARS_MAX: Final = 4_096
EXPLAIN_RECIPIENTS_MAX: Final = 20
"""Recipients one explanation is about: what each would get is rendered."""

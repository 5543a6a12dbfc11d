"""Facts to decide from, drawn at random."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.content import Category, CategoryRules, Template
from clarion.domain.quiet import QuietHours, QuietWindow
from clarion.domain.route import Route, channels_of
from clarion.domain.user import Choice, Device, Profile, User
from clarion.plan.rules.caps import arrival_after, free_at
from clarion.plan.rules.request_facts import CapRule, RequestFacts

NOW_MS = int(datetime(2026, 3, 28, 23, 30, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 24 * 3600 * 1000

keys = st.sampled_from(["news", "security", "*"])
columns = st.sampled_from(["email", "sms", "inapp", "*"])
choices = st.booleans() | st.builds(Choice, st.booleans(), st.sampled_from([NOW_MS - 1, NOW_MS + 60_000]))
matrices = st.dictionaries(keys, st.dictionaries(columns, choices, max_size=3), max_size=3)
plain_matrices = st.dictionaries(keys, st.dictionaries(columns, st.booleans(), max_size=3), max_size=3)
defaults = st.dictionaries(columns, st.booleans(), max_size=3)
clocks = st.sampled_from(["00:00", "08:00", "22:00", "23:45"])
quiet_hours = st.builds(
    QuietHours,
    windows=st.lists(st.builds(QuietWindow, clocks, clocks), max_size=2).map(tuple),
    channels=st.lists(st.sampled_from(CHANNELS), max_size=4, unique=True).map(tuple),
)
NAMES = {b"a" * 8: "2 per 1d", b"b" * 8: "1 per 1h"}
"""A cap's name says all that its rule is made of: no two caps of a setting share either."""
cap_rules = st.builds(
    lambda rule, **more: CapRule(rule, NAMES[rule], **more),
    rule=st.sampled_from([*NAMES]),
    channel=st.none() | st.sampled_from([Channel.EMAIL, Channel.SMS, Channel.INAPP]),
    limit=st.integers(1, 3),
    gap_s=st.sampled_from([60, 3600]),
)
rules = st.builds(
    CategoryRules,
    quiet_hours=st.booleans(),
    over_cap=st.sampled_from(["skip", "defer", "digest"]),
)


def _routes(members):
    untils = st.sampled_from(["sendable", "sent", "seen"])
    return st.builds(Route, first=members, until=untils, within=st.sampled_from(["2m"])) | st.builds(Route, all=members)


channels = st.sampled_from(CHANNELS[:4])
routes = st.lists(channels, min_size=1, max_size=3, unique=True).map(tuple)
route = _routes(routes) | st.lists(channels, min_size=3, max_size=3, unique=True).map(
    lambda three: Route(first=(Route(all=tuple(three[:2])), three[2]), until="seen", within="2m")
)


@st.composite
def request_facts(draw, with_route=True):
    chosen = draw(st.none() | route) if with_route else None
    listed = channels_of(chosen) if chosen else draw(st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True))
    parts = draw(st.dictionaries(st.sampled_from(CHANNELS), st.just({"body": "x"}), min_size=1))
    critical = draw(st.booleans())
    return RequestFacts(
        template=Template("t", 1, None, parts),
        category=Category(
            draw(st.sampled_from(["news", "security"])), critical, defaults=draw(defaults), rules=draw(rules)
        ),
        channels=tuple(listed),
        sendable=draw(st.frozensets(st.sampled_from(CHANNELS), min_size=3)),
        defaults=draw(plain_matrices),
        workflow_defaults=draw(defaults),
        route=chosen,
        caps=() if critical else tuple(draw(st.lists(cap_rules, max_size=2, unique_by=lambda cap: cap.rule))),
        digest=draw(st.none() | st.just(("digest", 1))),
        quiet_hours=draw(quiet_hours),
        hold_max_ms=draw(st.sampled_from([3600 * 1000, DAY_MS])),
    )


profiles = st.builds(
    Profile,
    profile_id=st.just(1),
    zone=st.sampled_from(["", "UTC", "Asia/Kolkata", "Europe/Berlin"]),
    preferences=matrices,
    quiet_hours=st.none() | quiet_hours,
)
contacts = st.none() | st.sampled_from(["one", "two"])
users = st.builds(
    User,
    user_id=st.just("ana"),
    ordinal=st.just(7),
    profile_id=st.just(1),
    email=contacts,
    phone=contacts,
    whatsapp=contacts,
    chat=contacts,
    webhook=contacts,
    devices=st.lists(
        st.builds(Device, st.sampled_from("ab"), st.sampled_from(["push", "webpush"]), st.sampled_from(["t1", "t2"]))
    ).map(tuple),
    more_contacts=st.dictionaries(
        st.sampled_from(["email", "sms"]), st.lists(st.sampled_from(["two", "three"]), unique=True).map(tuple)
    ),
)
suppressions = st.dictionaries(
    st.tuples(st.sampled_from(CHANNELS), st.sampled_from(["one", "two", "t1", "t2"])), st.just("bounced"), max_size=6
)
arrivals = st.dictionaries(
    st.sampled_from([b"a" * 8, b"b" * 8]), st.integers(NOW_MS // 1000 - 9_000, NOW_MS // 1000 + 9_000)
)


class Times:
    """Room under caps of one user, from arrival times."""

    def __init__(self, arrival_s, now_ms=NOW_MS):
        self.arrival_s = dict(arrival_s)
        self._now_s = now_ms // 1000

    def free_at(self, ordinal, cap):
        return free_at(self.arrival_s.get(cap.rule, 0), cap.limit, cap.gap_s)

    def claim(self, ordinal, caps):
        full = [(cap, free_s) for cap in caps if (free_s := self.free_at(ordinal, cap)) > self._now_s]
        if full:
            return max(full, key=lambda one: one[1])
        for cap in caps:
            self.arrival_s[cap.rule] = arrival_after(self.arrival_s.get(cap.rule, 0), self._now_s, cap.gap_s)
        return None

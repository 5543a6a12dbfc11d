"""Tables of a vendor's responses and their outcomes: from the vendor's own data, and from its `read()` for bare
statuses."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import ModuleType
from typing import Any, Final, NamedTuple, cast

from clarion.domain.content import Account
from clarion.domain.message import AppriseReply, HttpResponse, Message, Response
from clarion.domain.outcome import Ambiguous, Outcome, Refused, Throttled, Transient, name_of
from clarion.ports.vendor import Traits, Vendor

TABLES: Final = ("RULES", "OUTCOMES", "STATUSES", "WEBHOOK_OUTCOMES")
"""Names of the vendors' tables of meanings: meanings by code, or rows of patterns that end in a meaning."""
STATUSES: Final = (
    200, 201, 202, 204, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 412,
    413, 414, 415, 418, 420, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 508, 511,
)  # fmt: skip
PAUSED: Final = "throttled for this recipient"
_NOW_MS: Final = 1_790_000_000_000
_RUN: Final = 12
"""The number of consecutive codes of one meaning from which they are written as a span."""


class Meaning(NamedTuple):
    """An outcome of a meaning, and its condition when the meaning has several outcomes."""

    outcome: str
    when: str = ""


_ABOUT_ADDRESS: Final = (Meaning("invalid_recipient", "when it names the recipient"), Meaning("refused", "else"))
_TAKEN: Final = (Meaning("accepted"), Meaning("ambiguous", "without the id of a message"))
SHARED: Final[dict[str, tuple[Meaning, ...]]] = {
    "accepted": (Meaning("accepted"),),
    "account": (Meaning("misconfigured"),),
    "dead": (Meaning("invalid_recipient"),),
    "later": (Meaning("throttled"),),
    "again": (Meaning("transient"),),
    "unsure": (Meaning("ambiguous"),),
    "request": _ABOUT_ADDRESS,
}
"""Meanings that are the same with every vendor. A meaning that is neither here nor in `OWN` refuses with that
reason."""
OWN: Final[dict[tuple[str, str], tuple[Meaning, ...]]] = {
    ("apns", "later"): (Meaning(PAUSED),),
    ("apns", "much_later"): (Meaning("throttled"),),
    ("apns", "stale"): (Meaning("transient", "at the first attempt"), Meaning("misconfigured", "at later ones")),
    ("fcm", "argument"): _ABOUT_ADDRESS,
    ("fcm", "later"): (Meaning("throttled"), Meaning(PAUSED, "when it is one device's quota")),
    ("mailgun", "accepted"): _TAKEN,
    ("postmark", "accepted"): (*_TAKEN, Meaning("invalid_recipient", "when it lists the recipient as inactive")),
    ("sendgrid", "unsent"): (Meaning("misconfigured"),),
    ("ses", "accepted"): _TAKEN,
    ("ses", "quota"): (Meaning("throttled"),),
    ("slack", "unknown"): (Meaning("ambiguous"),),
    ("slack WEBHOOK_OUTCOMES", "later"): (Meaning(PAUSED),),
    ("smtp", "again_slowly"): (Meaning("transient"),),
    ("sns", "invalid_parameter"): _ABOUT_ADDRESS,
    ("twilio", "minutes"): (Meaning("throttled"),),
    ("twilio", "unreachable"): (Meaning("transient"),),
    ("vonage", "parameter"): _ABOUT_ADDRESS,
    ("vonage", "later"): (Meaning("throttled"), Meaning("ambiguous", "when other SMS of the text were taken")),
    ("webpush", "later"): (Meaning(PAUSED),),
    ("whatsapp", "pair"): (Meaning(PAUSED),),
    ("whatsapp", "throughput"): (Meaning("throttled"),),
    ("whatsapp", "unknown"): (Meaning("ambiguous"),),
}
FOLLOWS: Final = {
    "accepted": "`sent`",
    "throttled": "another account at once; this one gets no call until the pause is over",
    PAUSED: "this delivery waits until the pause is over; other deliveries proceed",
    "transient": "another account at once, else another attempt by the schedule; counts for the breaker",
    "refused": "`failed` and a dead letter; the address is not suppressed",
    "invalid_recipient": "`failed`, a dead letter, and the address is suppressed",
    "misconfigured": "the breaker opens and an event notifies the operator; another account at once, else the route's "
    "next channel, or it waits until this account is fixed",
}
_AMBIGUOUS: Final = {
    "retry": "another attempt with this account, which may repeat the message",
    "assume_sent": "`sent` with the reason `assumed_sent`",
    "stop": "`dead` with the reason `ambiguous_stop`",
}


def meanings_of(vendor: str, table: str, word: str) -> tuple[Meaning, ...]:
    """Return the outcomes of a meaning in one of a vendor's tables, the usual case first."""
    own = OWN.get((f"{vendor} {table}", word)) or OWN.get((vendor, word))
    return own or SHARED.get(word) or (Meaning("refused"),)


def tables_of(vendor: Vendor) -> dict[str, Any]:
    """Return the tables of a vendor by name, in the order in which they are read."""
    found = {name: getattr(vendor, name, None) for name in TABLES}
    return {name: table for name, table in found.items() if isinstance(table, dict | tuple)}


def outcomes_block(vendor: Vendor) -> str:
    """Return the tables of a vendor as Markdown: its data, then the outcomes of statuses without a known code."""
    traits = vendor.TRAITS
    reported = _docstrings(vendor)
    sections = []
    for name, table in tables_of(vendor).items():
        rows = _by_rule(table, smtp=traits.transport == "smtp") if isinstance(table, tuple) else _by_code(table)
        sections.append("\n\n".join(filter(None, (_sentence(reported.get(name, "")), _table(traits, name, rows)))))
    if traits.transport in ("http", "apprise"):
        words = "A response with only a known status:" if sections else ""
        sections.append("\n\n".join(filter(None, (words, _status_table(vendor)))))
    if traits.transport == "local":
        scripted = ", unless a script sets another outcome" if traits.settings else ""
        sections.append(f"No call is made: every valid message is accepted{scripted}.")
    return "\n\n".join(sections)


def _named(outcome: str) -> str:
    name, _, rest = outcome.partition(" ")
    return f"`{name}` {rest}".rstrip()


def follows(traits: Traits, outcome: str) -> str:
    """Return a description of the delivery's next step after an outcome."""
    return _AMBIGUOUS[traits.on_ambiguous] if outcome == "ambiguous" else FOLLOWS[outcome]


def _by_code(table: Mapping[Any, str]) -> list[tuple[str, str]]:
    words = list(dict.fromkeys(table.values()))
    return [(_codes([code for code, word in table.items() if word == each]), each) for each in words]


def _codes(codes: list[Any]) -> str:
    """Return codes as they occur in responses; a long run of numbers as a span."""
    out: list[str] = []
    at = 0
    while at < len(codes):
        end = at
        while end + 1 < len(codes) and isinstance(codes[at], int) and codes[end + 1] == codes[end] + 1:
            end += 1
        if end - at >= _RUN:
            out.append(f"`{codes[at]}` to `{codes[end]}`")
            at = end + 1
        else:
            out.append(f"`{codes[at]}`")
            at += 1
    return ", ".join(out)


def _by_rule(table: tuple[tuple[str, str, str], ...], *, smtp: bool) -> list[tuple[str, str]]:
    """Return rows of patterns: where they are searched, and their meaning."""
    rows = []
    for where, what, word in table:
        place = (
            "any"
            if where == "*"
            else where.replace("|", ", ").replace(" ", ", ").replace(",,", ",").replace("..", "xx")
        )
        pattern = _reply(what) if smtp else what.replace("|", "\\|")
        rows.append((f"{place}: `{pattern}`" if what else place, word))
    return rows


def _reply(pattern: str) -> str:
    """Return a pattern of replies in the usual notation: 5xx, and nothing for the rest of a line."""
    for regular, plain in ((r"\..*", ".x"), (" .*", ""), (r"\.", "."), (r"\d", "x"), ("|", " or ")):
        pattern = pattern.replace(regular, plain)
    return re.sub(r"(?<=\d)\.\.(?!\d)", "xx", pattern.removeprefix("(").removesuffix(")"))


def _table(traits: Traits, table: str, rows: list[tuple[str, str]]) -> str:
    lines = ["| answer | means | outcome | what follows |", "|---|---|---|---|"]
    for answer, word in rows:
        for outcome, when in meanings_of(traits.vendor, table, word):
            case = f"{answer}, {when}" if when else answer
            lines.append(f"| {case} | `{word}` | {_named(outcome)} | {follows(traits, outcome)} |")
    return "\n".join(lines)


def _status_table(vendor: Vendor) -> str:
    """Return the table of outcomes of bare statuses. The most common outcome of a class is last, for the rest of the
    class."""
    lines = ["| HTTP status | outcome | what follows |", "|---|---|---|"]
    found = {status: _bare(vendor, status) for status in STATUSES}
    for first in (2, 3, 4, 5):
        of_class = {status: named for status, named in found.items() if status // 100 == first}
        groups = list(dict.fromkeys(of_class.values()))
        most = max(groups, key=lambda named: sum(1 for other in of_class.values() if other == named))
        for named in sorted(groups, key=lambda named: named == most):
            codes = ", ".join(str(status) for status, other in of_class.items() if other == named)
            what = codes if named != most else (f"any other {first}xx" if len(groups) > 1 else f"{first}xx")
            lines.append(f"| {what} | {_named(named[0])}{named[1]} | {follows(vendor.TRAITS, named[0])} |")
    return "\n".join(lines)


def _bare(vendor: Vendor, status: int) -> tuple[str, str]:
    """Return outcome and details of a response that has only a status."""
    outcome = _answered(vendor, status, {})
    name, details = name_of(outcome), []
    if isinstance(outcome, Throttled):
        name = PAUSED if outcome.scope == "recipient" else name
        details.append("after `Retry-After`" + (f", else {outcome.after_ms // 1000} s" if outcome.after_ms else ""))
    if isinstance(outcome, Transient | Ambiguous):
        hurried = _answered(vendor, status, {"retry-after": "7"})
        details += ["after `Retry-After`, if there is one"] if getattr(hurried, "after_ms", None) == 7_000 else []
    if isinstance(outcome, Refused):
        details.append(f"`{outcome.reason.replace(str(status), '<status>')}`")
    return name, f" ({', '.join(details)})" if details else ""


def _answered(vendor: Vendor, status: int, headers: dict[str, str]) -> Outcome:
    account, message = _sample(vendor.TRAITS)
    bare = HttpResponse(status, headers, b"")
    answer: Response = AppriseReply(status < 300, response=bare) if vendor.TRAITS.transport == "apprise" else bare
    return vendor.read(answer, message, account, now_ms=_NOW_MS)


def _sample(traits: Traits) -> tuple[Account, Message]:
    """Return an account and a message with which responses can be read; their values are not used."""
    channel = traits.channels[0]
    settings, credentials = (
        {field.name: "x" for field in fields if field.required} for fields in (traits.settings, traits.credentials)
    )
    account = Account("docs", "docs", channel, traits.vendor, 0, settings, credentials)
    return account, Message("dlv_docs", "ntf_docs", "docs", channel, "ada", "x@example.com", {}, 1, _NOW_MS)


def _docstrings(vendor: Vendor) -> dict[str, str]:
    """Return the docstrings of a vendor's tables by the table's name."""
    return dict(_below(ast.parse(inspect.getsource(cast(ModuleType, vendor))).body))


def _below(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, after in pairwise(body):
        reported = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(reported, str)
        ):
            yield statement.target.id, reported


def _sentence(text: str) -> str:
    return " ".join(text.split()).replace("`OUTCOMES`", "the next table")

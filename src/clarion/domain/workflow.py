"""Definitions of workflows: named steps that turn a trigger into deliveries.

Steps are a list. A step continues with the next in the list unless it names another in `next`; `end` ends the workflow.
Texts called expressions are CEL over `data`, `user`, `steps` (results by step name), `vars` and `digest`.
"""

import re
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from clarion.domain.channel import Channel
from clarion.domain.route import Route

END: Final = "end"
EXPRESSION_NAMES: Final = ("data", "user", "steps", "vars", "digest")
"""The names that expressions may read; `where` of a wait reads `event`, too."""
PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
"""An expression in the text of a fetch step's address or header."""


class _Step(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"
):
    name: str
    next: str | None = None


class Send(_Step, frozen=True, kw_only=True, tag="send"):
    """Send a template on its channels, those named, or by a route. `data` maps names to expressions and overrides the
    trigger's data. Result: `steps.<name>` with `sent_at` and `seen`, whether the user has seen it."""

    template: str
    channels: tuple[Channel, ...] = ()
    route: Route | None = None
    category: str | None = None
    data: dict[str, str] = {}


class Delay(_Step, frozen=True, kw_only=True, tag="delay"):
    """Wait for a duration, until the instant an expression gives (RFC 3339 text or timestamp), or until the next `at`
    (`HH:MM`) in the user's zone, on one of `days` (ISO weekdays)."""

    for_: str | None = msgspec.field(default=None, name="for")
    until: str | None = None
    at: str | None = None
    days: tuple[int, ...] = ()


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When a digest closes, exactly one of: `fixed` after its first event; `sliding` after its newest, but no later than
    `at_most` after its first; at the next `at` (`HH:MM`) in the user's zone, on one of `days`."""

    fixed: str | None = None
    sliding: str | None = None
    at_most: str | None = None
    at: str | None = None
    days: tuple[int, ...] = ()


class Digest(_Step, frozen=True, kw_only=True, tag="digest"):
    """Collect triggers of the same user and key; the first one continues when the window closes, with `digest.items`,
    `digest.count` and `digest.first` (the first `first` items); the other triggers end as merged."""

    window: Window
    key: str | None = None
    first: int = 10


class Throttle(_Step, frozen=True, kw_only=True, tag="throttle"):
    """Let `limit` instances pass per user and key in any `per`; further ones go to `otherwise`, or end."""

    limit: int
    per: str
    key: str | None = None
    otherwise: str = END


class Condition(_Step, frozen=True, kw_only=True, tag="condition"):
    """Go to `then` when the expression is true, else to `otherwise`; each defaults to the next step."""

    if_: str = msgspec.field(name="if")
    then: str | None = None
    otherwise: str | None = None


class WaitUntil(_Step, frozen=True, kw_only=True, tag="wait_until"):
    """Wait until the user has seen what the step `seen` sent, or an event of type `event` about the user arrives for
    which `where` (over `event`) holds, but no longer than `timeout`; then go to `on_timeout`. Result:
    `steps.<name>.outcome` is `seen`, `event` or `timeout`, `steps.<name>.event` the event's data."""

    timeout: str
    seen: str | None = None
    event: str | None = None
    where: str | None = None
    on_timeout: str | None = None


class SecretHeader(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename={"source": "from"}
):
    """The value of a header that is a secret: `prefix`, such as `Bearer ` with its space, and exactly one of: `from`, a
    reference to a secret, read when the call is made; `secret`, the secret itself, stored encrypted and never shown;
    `sealed`, which is true and stands for the secret stored before."""

    source: str | UnsetType = UNSET
    secret: str | UnsetType = UNSET
    sealed: Annotated[bool, msgspec.Meta(extra_json_schema={"const": True})] | UnsetType = UNSET
    prefix: str = ""

    @property
    def ciphertext(self) -> str | None:
        """What a stored definition holds of a secret: `secret` beside `sealed` is its ciphertext, as base64. A request
        may not give both."""
        return None if self.sealed is UNSET or self.secret is UNSET else self.secret

    def __repr__(self) -> str:
        return f"SecretHeader(source={self.source!r}, prefix={self.prefix!r})"


class Fetch(_Step, frozen=True, kw_only=True, tag="fetch"):
    """Call an address over guarded HTTP. `url` and header values are text with `{expression}` in it, `body` an expression
    sent as JSON; a header may be a secret, and text is one in a header that carries credentials. Result: `steps.<name>`
    with `status` and `body`. When all `attempts` failed, `on_error` decides whether the workflow ends or continues with
    `steps.<name>.error`."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str | SecretHeader] = {}
    body: str | None = None
    timeout: str = "10s"
    attempts: int = 3
    on_error: Literal["continue", "end"] = "end"

    @property
    def secret_headers(self) -> dict[str, SecretHeader]:
        """The headers that are secrets, sealed or given by reference."""
        return {name: value for name, value in self.headers.items() if isinstance(value, SecretHeader)}

    @property
    def plain_headers(self) -> dict[str, str]:
        """The other headers."""
        return {name: value for name, value in self.headers.items() if isinstance(value, str)}

    def __repr__(self) -> str:
        return f"Fetch(name={self.name!r}, method={self.method!r})"


class Set(_Step, frozen=True, kw_only=True, tag="set"):
    """Store the values of expressions under `vars`."""

    values: dict[str, str]


Step: TypeAlias = Send | Delay | Digest | Throttle | Condition | WaitUntil | Fetch | Set


class Workflow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The definition of a workflow. `defaults` are the preferences per channel (or `*`) of users who have set none;
    `variables` are the names under `data` that a trigger requires."""

    KIND: ClassVar[str] = "workflow"

    steps: tuple[Step, ...]
    name: str = ""
    category: str | None = None
    defaults: dict[str, bool] = {}
    variables: tuple[str, ...] = ()


def follows(workflow: Workflow, index: int) -> dict[str, str]:
    """Return the possible next steps of a step: the field that decides (`next`, `then`, `otherwise`, `on_timeout`) to
    the name of a step."""
    step = workflow.steps[index]
    after = step.next or (workflow.steps[index + 1].name if index + 1 < len(workflow.steps) else END)
    ways: dict[str, Any] = {"next": after}
    match step:
        case Condition():
            ways = {"then": step.then or after, "otherwise": step.otherwise or after}
        case Throttle():
            ways["otherwise"] = step.otherwise
        case WaitUntil():
            ways["on_timeout"] = step.on_timeout or after
        case _:
            pass
    return ways

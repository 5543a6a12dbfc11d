"""The declaration of a resource: a kind of documents that tenants define, from which its routes, its file form, its audit
rows and its description follow.

A change gathers what `needs` names, again as long as it names more, and then `check` decides: it returns the changes, or
raises the refusal. Both are pure.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from clarion.domain.actor import Actor
from clarion.domain.content import Template
from clarion.domain.errors import InvalidField
from clarion.domain.limits import BODY_BYTES_MAX, DEFINITIONS_PER_KIND_MAX
from clarion.domain.reference import Reference
from clarion.ports.documents import Bound, Changes, Document, DocumentKey, Expected
from clarion.ports.drafting import BuildJob
from clarion.ports.web import JSON, Query

B = TypeVar("B")
B_contra = TypeVar("B_contra", contravariant=True)


class Permissions(NamedTuple):
    """What a caller must have to read documents of a kind, and to change them: `clarion.domain.permissions` lists it."""

    read: str
    write: str


class Needs(msgspec.Struct, frozen=True):
    """What a decision is based on, beside its target: documents, the referrers of documents, and builds by a name."""

    documents: frozenset[DocumentKey] = frozenset()
    referrers: frozenset[DocumentKey] = frozenset()
    builds: Mapping[str, BuildJob] = {}


class Facts(msgspec.Struct, frozen=True):
    """What was gathered for a decision. `documents` holds removed ones, too; a build that failed is its error."""

    target: DocumentKey
    actor: Actor
    documents: Mapping[DocumentKey, Document | None] = {}
    referrers: Mapping[DocumentKey, frozenset[DocumentKey]] = {}
    jobs: Mapping[str, BuildJob] = {}
    builds: Mapping[str, Template | InvalidField] = {}

    @property
    def current(self) -> Document | None:
        """The target, None when it does not exist."""
        return self.of(self.target)

    def of(self, key: DocumentKey) -> Document | None:
        """Return a document, None when it does not exist or was not gathered."""
        found = self.documents.get(key)
        return None if found is None or found.removed else found

    def find(self, kind: str, key: str) -> Document | None:
        """Return a document of the target's tenant by its kind and key."""
        return self.of(DocumentKey(self.target.tenant, kind, key))

    def built(self, name: str) -> Template:
        """Return what was built under a name. Raises `InvalidField` when it could not be built."""
        found = self.builds[name]
        if isinstance(found, InvalidField):
            raise found
        return found

    def expected(self) -> Expected:
        """Return what has to be unchanged when the decision is stored."""
        return Expected(
            {key: 0 if (one := self.of(key)) is None else one.version for key in self.documents}, self.referrers
        )


class Need(Protocol[B_contra]):
    """Names what a decision about a body needs, given what was gathered so far."""

    def __call__(self, body: B_contra, facts: Facts, /) -> Needs:
        """Return all that is needed, what was gathered included."""
        ...


class Check(Protocol[B_contra]):
    """Decides about a body."""

    def __call__(self, body: B_contra, facts: Facts, now_ms: int, /) -> Changes:
        """Return the changes, with nothing in them when all is as asked. Raises a `CallerError` as the refusal."""
        ...


def nothing(_body: Any, _facts: Facts) -> Needs:
    """Return that a decision needs its target alone."""
    return Needs()


def no_references(_body: Any) -> Iterable[Reference]:
    """Return that a body names no other documents."""
    return ()


class Action(msgspec.Struct, Generic[B], frozen=True):
    """A way to change a document. `heavy` ones take long to decide, and are decided in a thread."""

    check: Check[B]
    needs: Need[B] = nothing
    heavy: bool = False


class Resource(msgspec.Struct, Generic[B], frozen=True):
    """A kind of documents. `path` ends in `{key}`, unless a tenant has one alone: then `only` is its key, `default` its body until
    it is stored, and responses show all its fields. `body` is what requests give, checked by itself and made what documents
    hold by `prepare`, `view` what responses show: the fields of the body with `key`, `version`, `created_at` and `updated_at`,
    as far as it has them. What `references` names has to exist when a body is stored, as the same commit sees it, and stays as
    long as it is named. `secrets` and `contacts` name fields that the audit shows as digests, or masked; `audited` replaces
    that. `media` are the types of bodies, `queries` those of the route that gets one."""

    kind: str
    path: str
    body: type[B]
    view: type[msgspec.Struct]
    check: Check[B]
    needs: Need[B] = nothing
    references: Callable[[B], Iterable[Reference]] = no_references
    noun: str = ""
    plural: str = ""
    summary: str = ""
    removal_summary: str = ""
    description: str = ""
    example: B | None = None
    most: int = DEFINITIONS_PER_KIND_MAX
    secrets: frozenset[str] = frozenset()
    contacts: frozenset[str] = frozenset()
    heavy: bool = False
    only: str = ""
    default: B | None = None
    shown: Callable[[Document], Any] | None = None
    prepare: Callable[[Any], Any] | None = None
    limit_bytes: int = BODY_BYTES_MAX
    audited: Callable[[bytes], bytes] | None = None
    media: tuple[str, ...] = (JSON,)
    queries: tuple[Query, ...] = ()

    @property
    def name(self) -> str:
        """What one of these is called in messages."""
        return self.noun or self.kind.replace("_", " ")

    @property
    def names(self) -> str:
        """What several of these are called."""
        return self.plural or f"{self.name}s"

    @property
    def put(self) -> Action[B]:
        """The action that stores a body that names what exists; a tenant has at most `most` of them."""

        def needs(body: B, facts: Facts) -> Needs:
            named = {DocumentKey(facts.target.tenant, one.kind, one.key) for one in self.references(body)}
            own = self.needs(body, facts)
            return replace(own, documents=own.documents | named) if named else own

        def check(body: B, facts: Facts, now_ms: int) -> Changes:
            named = frozenset[tuple[str, str]]()
            for one in self.references(body):
                if facts.find(one.kind, one.key) is None:
                    raise one.unknown()
                named |= {(one.kind, one.key)}
            changes = self.check(body, facts, now_ms)
            if not changes.puts:
                return changes
            puts = tuple(
                replace(put, refers=put.refers | named) if put.key == facts.target else put for put in changes.puts
            )
            return replace(changes, puts=puts, bounds=(Bound(self.kind, self.most, self.names),))

        return Action(check, needs, self.heavy)

    @property
    def collection(self) -> str:
        """The last part of the path of all of these, such as `event-rules`."""
        return self.path.removesuffix("/{key}").rsplit("/", 1)[1]

    @property
    def permissions(self) -> Permissions:
        """The permissions to read and to change these, such as `event-rules:read`."""
        return Permissions(f"{self.collection}:read", f"{self.collection}:write")


def view_of_body(body: type[msgspec.Struct], about: str, *, sparse: bool = False) -> type[msgspec.Struct]:
    """Return the type of responses that show all fields of a body with its key, version and times; `about` describes it. `sparse`
    ones leave out what is as by default."""
    own: list[tuple[str, Any]] = [("key", str), ("version", int), ("created_at", datetime), ("updated_at", datetime)]
    return msgspec.defstruct(
        f"{body.__name__.removesuffix('Body')}View", own, bases=(body,), namespace={"__doc__": about}, frozen=True,
        kw_only=True, forbid_unknown_fields=False, omit_defaults=sparse,
    )  # fmt: skip


def defaults_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the defaults of the fields of a type, by their names in JSON."""
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        if field.default is not msgspec.NODEFAULT:
            found[field.encode_name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.encode_name] = field.default_factory()
    return found

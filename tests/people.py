"""People who are signed in to an API under test, without the pages by which they would."""

from typing import Any

from clarion.app.wiring.parts import sessions_of
from clarion.domain.actor import Actor, ActorKind
from clarion.domain.cookies import SESSION_COOKIE
from clarion.domain.person import Person, csrf_of
from clarion.domain.roles import MEMBER_KIND
from clarion.identity.people.members import JOIN, Member
from clarion.ports.documents import Author, DocumentKey
from clarion.ports.people import PeopleChange
from clarion.ports.web import Call, Caller
from clarion.resources.changing import Change, Changing

OWN = "http://127.0.0.1:8400"
BY = Author("", Actor(ActorKind.OPERATOR, "operator"))
CALL = Call(
    Caller("", Actor(ActorKind.ANYONE, ""), frozenset()), {}, {}, {"user-agent": "A browser"}, b"", address="192.0.2.9"
)


class Signed:
    """Somebody who is signed in, with the cookie of the session and the token of its pages."""

    def __init__(self, api: Any, person: Person) -> None:
        self.api = api
        self.person = person
        self.token = ""

    @property
    def id(self) -> str:
        return self.person.person_id

    def headers(self, **changed: str) -> list[tuple[bytes, bytes]]:
        """Return the headers that a browser sends from a page of ours; an empty text leaves one out."""
        sent = {"cookie": f"{SESSION_COOKIE}={self.token}", "origin": OWN, "x-clarion-csrf": csrf_of(self.token)} | {
            name.replace("_", "-"): value for name, value in changed.items()
        }
        return [(name.encode(), value.encode()) for name, value in sent.items() if value]

    async def call(self, method: str, path: str, body: Any = None, **changed: str) -> Any:
        """Make a call, and take the cookie that the answer sets."""
        answer = await self.api.call(method, path, body, key=None, headers=self.headers(**changed))
        self.take(answer)
        return answer

    def take(self, answer: Any) -> None:
        """Take the cookie that an answer sets."""
        given = answer.headers.get("set-cookie", "").partition(";")[0]
        if given.startswith(f"{SESSION_COOKIE}="):
            self.token = given.partition("=")[2]

    async def renew(self) -> None:
        """Begin another session unless there is one."""
        if not self.token:
            self.token = (await sessions_of(self.api.parts).begin(self.person, "password", CALL)).token

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call. Raises `AssertionError` unless it succeeds."""
        answer = await self.call(method, path, body)
        assert answer.status < 300, answer
        return answer

    async def enter(self, tenant: str) -> "Signed":
        await self.ok("POST", "/v1/session/tenant", {"tenant": tenant})
        return self


async def add_person(parts: Any, name: str, *, is_operator: bool = False, **more: Any) -> Person:
    """Store a person by a name, which begins the address, too."""
    now_ms = parts.clock.now_ms()
    person = Person(f"prs_{name}", f"{name}@example.com", name.title(), now_ms, now_ms, is_operator, **more)
    await parts.control.people.commit(
        BY, PeopleChange("", "person.put", "person", person.person_id, now_ms, persons=(person,))
    )
    return await parts.control.people.person(person.person_id)


async def join(parts: Any, tenant: str, person_id: str, role: str, provider: str = "") -> None:
    """Make somebody a member of a tenant."""
    target = DocumentKey(tenant, MEMBER_KIND, person_id)
    changing = Changing(parts.control.documents, parts.clock)
    await changing.change(Change(JOIN, target, Member(role, provider), BY, lambda body: body))


async def signed_in(api: Any, name: str, tenant: str = "", role: str = "", *, is_operator: bool = False) -> Signed:
    """Return somebody who is signed in, and a member of a tenant unless it is empty."""
    person = await add_person(api.parts, name, is_operator=is_operator)
    if tenant:
        await join(api.parts, tenant, person.person_id, role)
    return await again(api, person)


async def again(api: Any, person: Person) -> Signed:
    """Return another session of a person."""
    signed = Signed(api, person)
    await signed.renew()
    return signed

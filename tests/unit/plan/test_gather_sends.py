"""Gathering for sends: few calls for any number of tenants and notifications, nothing read twice; one that cannot be
read fails alone."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from clarion.domain import ids
from clarion.domain.cap import Cap
from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.content import Account, Category, CategoryRules, Template
from clarion.domain.decision import Reason
from clarion.domain.errors import StoreUnavailable
from clarion.domain.user import Profile, User
from clarion.journal.codec import decode
from clarion.journal.events import PlannedFrame, Recipient, Request
from clarion.plan.batch import decide_batch
from clarion.plan.columns import PlanItem
from clarion.plan.facts import SendFacts
from clarion.plan.gather_sends import SendGatherer
from clarion.plan.plan_writer import Plan
from clarion.plan.rules.need import Need
from clarion.ports.directory import Defined, DefinitionKey

NOW_MS = 1_700_000_000_000
CAPPED = Category("news", rules=CategoryRules(caps=(Cap(1, "1h"),)))


class StubDirectory:
    """Directory and journal in one: counts its calls. `broken` users and templates cannot be read."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()
        self.suppressed_of: set[str] = set()
        self.broken: set[str] = set()
        self.down = False
        self.unlearned: Counter[str] | None = None

    def revision(self, tenant: str) -> int:
        return self.numbers[tenant]

    def is_current(self) -> bool:
        return self.unlearned is None

    async def refresh(self) -> None:
        self.numbers.update(self.unlearned)
        self.unlearned = None

    async def templates(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Template]:
        self.calls["templates"] += 1
        if broken := {key for _, key in names} & self.broken:
            raise ValueError(broken)
        return {name: Template(name[1], 1, "news", {Channel.SMS: {}, Channel.EMAIL: {}}) for name in names}

    async def categories(self, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Category]:
        return dict.fromkeys(names, CAPPED)

    async def definitions(self, keys: Collection[DefinitionKey]) -> dict[DefinitionKey, Defined[Any]]:
        return {}

    async def accounts(self, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Account]]:
        return {
            (one, channel): [Account(one, "main", Channel(channel), "sandbox", 0, {}, {})] for one, channel in places
        }

    async def defaults(self, tenants: Collection[str]) -> dict[str, dict[str, dict[str, bool]]]:
        return {tenant: {} for tenant in tenants}

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        self.calls["users"] += 1
        if self.down:
            raise StoreUnavailable("down")
        if self.broken & {name for names in wanted.values() for name in names}:
            raise ValueError("a damaged row")
        return {tenant: {name: user(name) for name in names} for tenant, names in wanted.items()}

    async def profiles(self, profile_ids: Any) -> dict[int, Profile]:
        self.calls["profiles"] += 1
        return {id_: Profile(id_, "UTC", {}) for id_ in profile_ids}

    async def suppressing(self, tenants: Collection[str]) -> dict[str, set[str]]:
        return {tenant: {CHANNELS[-1]} if tenant in self.suppressed_of else set() for tenant in tenants}

    async def suppressed(
        self, wanted: Mapping[tuple[str, str], Collection[str]]
    ) -> dict[tuple[str, str], dict[str, str]]:
        self.calls["suppressed"] += 1
        return {place: {one: "bounced" for one in found if "bad" in one} for place, found in wanted.items()}

    async def caps_of(self, blocks: Any) -> dict[tuple[str, bytes, int], bytes]:
        self.calls["caps"] += 1
        return {}


def user(name: str) -> User:
    number = int(name[1:])
    return User(name, 1 + number, 1 + number % 2, phone=f"{name}-phone")


@pytest.fixture
def stub() -> StubDirectory:
    return StubDirectory()


def gatherer(stub: StubDirectory) -> SendGatherer:
    return SendGatherer(stub, stub)  # type: ignore[arg-type]


def item(number: int, *to: str | Recipient, tenant: str = "acme", template: str = "hello") -> PlanItem:
    identity = [Recipient(one) if isinstance(one, str) else one for one in to]
    id_ = ids.notification_id(NOW_MS, 0, number.to_bytes(ids.ENTROPY_BYTES, "big"))
    return PlanItem(Lane.NORMAL, id_, tenant, NOW_MS, Request(identity, template, None, ["sms"], Lane.NORMAL, {}))


def decide(facts: SendFacts, *items: PlanItem) -> Plan | Need:
    return decide_batch(items, [], facts, facts.claims(NOW_MS), 0, NOW_MS)


def reasons(planned: Plan | Need) -> list[Reason]:
    assert isinstance(planned, Plan)
    (frame,) = [event for one in planned.frames if isinstance(event := decode(one.payload), PlannedFrame)]
    return [Reason(reason) for reason in frame.reasons]


def test_the_prefetch_is_enough_and_its_calls_do_not_grow_with_the_batch(stub):
    stub.suppressed_of = {"acme"}
    items = [item(n, f"u{n}", Recipient(contacts={"phone": f"bad-{n}"})) for n in range(200)]
    facts = asyncio.run(gatherer(stub).gather(items, NOW_MS))
    planned = decide(facts, *items)
    assert Counter(reasons(planned)) == {Reason.NONE: 200, Reason.SUPPRESSED: 200}
    assert stub.calls == {"templates": 1, "users": 1, "profiles": 1, "suppressed": 1, "caps": 1}


def test_cached_facts_are_not_read_again_until_a_definition_changes(stub):
    sends = gatherer(stub)
    for _ in range(3):
        asyncio.run(sends.gather([item(1, "u1")], NOW_MS))
    assert stub.calls == {"templates": 1, "users": 3, "profiles": 1, "caps": 1}
    stub.numbers["acme"] += 1
    facts = asyncio.run(sends.gather([item(1, "u1")], NOW_MS))
    assert stub.calls["templates"] == 2
    assert reasons(decide(facts, item(1, "u1"))) == [Reason.NONE]


def test_changes_elsewhere_count_even_when_refreshing_fell_behind(stub):
    sends = gatherer(stub)
    asyncio.run(sends.gather([item(1, "u1")], NOW_MS))
    stub.unlearned = Counter(acme=1)
    asyncio.run(sends.gather([item(1, "u1")], NOW_MS))
    assert stub.calls["templates"] == 2


def test_facts_of_later_sends_are_gathered_later(stub):
    soon = item(1, "u1")
    later = soon._replace(request=replace(soon.request, send_at_ms=NOW_MS + 1))
    facts = asyncio.run(gatherer(stub).gather([later], NOW_MS))
    assert not stub.calls
    planned = decide(facts, later)
    assert isinstance(planned, Plan)
    assert [timer.due_ms for timer in planned.timers] == [NOW_MS + 1]


@pytest.mark.parametrize("suppressing", [set(), {"acme"}])
def test_one_more_gathering_serves_all_missing_facts(stub, suppressing):
    stub.suppressed_of = suppressing
    sends = gatherer(stub)
    unforeseen = [
        item(1, "u1"),
        item(2, "u2", "u3", tenant="other"),
        item(3, Recipient(contacts={"phone": "bad-phone"})),
        item(4, "u4", template="another"),
    ]
    facts = asyncio.run(sends.gather([item(0, "u0")], NOW_MS))
    need = decide(facts, item(0, "u0"), *unforeseen)
    assert isinstance(need, Need)
    facts = asyncio.run(sends.more(facts, need, NOW_MS))
    planned = reasons(decide(facts, item(0, "u0"), *unforeseen))
    stranger = Reason.SUPPRESSED if suppressing else Reason.NONE
    assert planned == [Reason.NONE, Reason.NONE, Reason.NONE, Reason.NONE, stranger, Reason.NONE]


def test_facts_that_were_handed_out_stay_as_they_are_when_definitions_change(stub):
    sends = gatherer(stub)
    facts = asyncio.run(sends.gather([item(1, "u1")], NOW_MS))
    before = facts.request_facts_of("acme", item(1).request)
    stub.numbers["acme"] += 1
    asyncio.run(sends.gather([item(1, "u1")], NOW_MS))
    assert facts.request_facts_of("acme", item(1).request) is before
    assert facts.gate(before, 2, "", NOW_MS)


@pytest.mark.parametrize("broken", ["u2", "torn"])
def test_unreadable_facts_fail_only_their_notifications(stub, broken):
    stub.broken = {broken}
    items = [item(1, "u1"), item(2, "u2", template="torn"), item(3, "u3")]
    facts = asyncio.run(gatherer(stub).gather(items, NOW_MS))
    assert reasons(decide(facts, *items)) == [Reason.NONE, Reason.POISON, Reason.NONE]


def test_an_unavailable_store_fails_the_gathering(stub):
    stub.down = True
    with pytest.raises(StoreUnavailable):
        asyncio.run(gatherer(stub).gather([item(1, "u1")], NOW_MS))


def test_caps_that_were_written_are_known_and_forgotten_ones_are_read_again(stub):
    sends = gatherer(stub)
    facts = asyncio.run(sends.gather([item(1, "u1")], NOW_MS))
    claims = facts.claims(NOW_MS)
    decide_batch([item(1, "u1")], [], facts, claims, 0, NOW_MS)
    sends.keep_caps(claims.writes())
    facts = asyncio.run(sends.gather([item(2, "u1")], NOW_MS))
    assert reasons(decide(facts, item(2, "u1"))) == [Reason.CAPPED]
    assert stub.calls["caps"] == 1
    sends.forget_caps()
    facts = asyncio.run(sends.gather([item(2, "u1")], NOW_MS))
    assert stub.calls["caps"] == 2
    assert reasons(decide(facts, item(2, "u1"))) == [Reason.NONE], "the store knows nothing of the cached caps"


def test_one_channel_is_enough_for_a_tenant_to_have_suppressions(stub):
    stub.suppressed_of = {"acme"}
    facts = asyncio.run(gatherer(stub).gather([item(1, "u1")], NOW_MS))
    assert facts.suppressions["acme"] is not None


def test_a_tenants_change_drops_only_its_own_cached_facts(stub):
    sends, items = gatherer(stub), [item(1, "u1"), item(2, "u1", tenant="other")]
    before = asyncio.run(sends.gather(items, NOW_MS))
    own, theirs = (
        next(one for key, one in before.request_facts.items() if key[0] == identity) for identity in ("acme", "other")
    )
    stub.numbers["acme"] += 1
    after = asyncio.run(sends.gather(items, NOW_MS))
    assert not any(one is own for one in after.request_facts.values())
    assert any(one is theirs for one in after.request_facts.values())
    assert id(own) not in after.gates and after.gates[id(theirs)][2] is before.gates[id(theirs)][2]
    assert any(one is own for one in before.request_facts.values()) and before.gates[id(own)], (
        "facts handed out earlier stay"
    )

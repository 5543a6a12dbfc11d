"""What the door keeps of tenants: as long as it is so, no longer, and never more than its bound."""

import pytest

from clarion.accept import gather_known
from clarion.accept.definitions import NOTHING
from clarion.accept.gather_known import Tenants
from clarion.domain.content import Category, Template
from clarion.domain.quota import TENANT, Quota
from tests.contract.controls import House, migrated
from tests.unit.accept.entrance import ONE, Entrance

T = "acme"
WANTS = NOTHING._replace(templates=["hello"], topics=["fans", "none"])


class Counted:
    """A directory with what it is asked written down."""

    def __init__(self, directory):
        self._directory = directory
        self.asked = []

    def __getattr__(self, name):
        if name not in ("revision", "is_current"):
            self.asked.append(name)
        return getattr(self._directory, name)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture(params=["memory", "sqlite"])
async def house(request, empty, tmp_path):
    house = House.copy_of(empty, tmp_path, request.param)
    await house.control.tenants.put(T, "Acme")
    await house.control.categories.put(T, Category("news"))
    await house.control.topics.put(T, "fans", "")
    await house.control.templates.put(T, Template("hello", 0, "news", {"sms": {"body": "Hi"}}))
    house.settle()
    yield house
    await house.close()


async def learn(tenants, tenant=T, wants=WANTS):
    known = tenants.known(tenant)
    await tenants.learn(tenant, known, wants)
    if known.quotas is None:
        await tenants.learn_quotas(tenant, known)
    return known


async def test_what_is_known_is_not_asked_for_again_and_what_is_not_there_is(house):
    counted = Counted(house.directory)
    tenants = Tenants(counted)
    await counted.learn()
    known = await learn(tenants)
    assert known.definitions.topics == {"fans"}
    assert known.definitions.templates["hello"].category == "news"
    assert set(known.definitions.categories) == {"news"}
    assert counted.asked == ["learn", "templates", "topics", "categories", "quotas"]
    assert await learn(tenants) is known
    assert counted.asked[5:] == ["topics"], "made-up names are not kept"


async def test_a_change_by_this_process_counts_at_once_and_costs_no_other_tenant_anything(house):
    await house.control.tenants.put("other", "Other")
    tenants = Tenants(house.directory)
    await house.directory.learn()
    theirs = await learn(tenants, "other")
    before = await learn(tenants)
    await house.control.quotas.put(T, TENANT, Quota(daily=5))
    await house.control.categories.put(T, Category("news", critical=True))
    known = await learn(tenants)
    assert known is not before
    assert known.quotas == {TENANT: Quota(daily=5)}
    assert known.definitions.categories["news"].critical
    assert tenants.known("other") is theirs


async def test_what_changes_while_it_is_asked_for_is_asked_for_again(house):
    tenants = Tenants(house.directory)
    known = tenants.known(T)
    await house.control.categories.put(T, Category("news", critical=True))
    await tenants.learn(T, known, WANTS)
    assert tenants.known(T) is not known


async def test_what_others_changed_counts_as_soon_as_it_can_be_known(house):
    if house.engine == "memory":
        pytest.skip("one process has it all")
    other = House(house.data_dir, house.clock, house.engine)
    tenants = Tenants(other.directory)
    await other.directory.learn()
    await learn(tenants)
    await house.control.quotas.put(T, TENANT, Quota(daily=5))
    assert (await learn(tenants)).quotas == {}
    house.settle()  # and nobody learns beside it
    assert (await learn(tenants)).quotas == {TENANT: Quota(daily=5)}
    await other.close()


async def test_a_number_of_definitions_is_kept_for_all_tenants_together(house, monkeypatch):
    monkeypatch.setattr(gather_known, "DOOR_DEFINITIONS_MAX", 9)
    tenants = Tenants(house.directory)
    await house.directory.learn()
    for number in range(20):
        await learn(tenants, f"tenant-{number}")
        await learn(tenants)
        assert sum(known.size() for known in tenants._known.values()) == tenants._count <= 9
    await house.control.topics.put(T, "more", "")
    await learn(tenants)
    assert sum(known.size() for known in tenants._known.values()) == tenants._count


async def test_a_definition_that_is_gone_is_refused_from_then_on(house):
    entrance = Entrance(house.directory)
    body = {"to": {"phone": "+4915112345678"}, "template": "hello"}
    assert (await entrance.post(ONE, body)).status == 202
    await house.control.templates.remove(T, "hello")
    with pytest.raises(Exception, match="unknown template 'hello'"):
        await entrance.post(ONE, body)

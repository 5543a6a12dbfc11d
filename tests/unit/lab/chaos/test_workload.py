from itertools import islice

import msgspec

from clarion_lab.chaos.workload import BROADCAST_AT, CHANNELS, KINDS, USERS, plans


def test_a_seed_decides_every_request() -> None:
    assert list(islice(plans(3), 60)) == list(islice(plans(3), 60))
    assert list(islice(plans(3), 60)) != list(islice(plans(4), 60))


def test_every_plan_names_its_number_of_deliveries() -> None:
    drawn = list(islice(plans(1), 300))
    assert {plan.kind for plan in drawn} == {*KINDS, "broadcast"}
    assert len({plan.key for plan in drawn}) == len(drawn)
    for plan in drawn:
        body = msgspec.json.decode(plan.body)
        if plan.kind == "broadcast":
            assert plan.deliveries == [USERS * len(CHANNELS)]
            continue
        items = body["notifications"] if plan.kind == "batch" else [body]
        assert plan.deliveries == [len(set(item["to"])) * len(CHANNELS) for item in items]


def test_there_is_one_broadcast_and_it_comes_early() -> None:
    drawn = list(islice(plans(1), 300))
    assert [n for n, plan in enumerate(drawn, 1) if plan.kind == "broadcast"] == [BROADCAST_AT]

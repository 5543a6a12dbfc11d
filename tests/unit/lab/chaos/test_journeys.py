import msgspec

from clarion_lab.chaos.journeys import INSTANCES, MESSAGES, SHAPES, WORKFLOWS, askings, definitions, templates


def test_a_seed_decides_every_trigger() -> None:
    assert list(askings(3)) == list(askings(3))
    assert list(askings(3)) != list(askings(4))


def test_triggers_start_exactly_so_many_instances() -> None:
    for seed in range(5):
        triggers = [trigger for asking in askings(seed) for trigger in asking.triggers]
        assert sum(len(trigger.users) for trigger in triggers) == INSTANCES
        assert len({trigger.number for trigger in triggers}) == len(triggers)
        assert {trigger.workflow for trigger in triggers} == set(WORKFLOWS)


def test_every_plan_says_what_its_triggers_owe() -> None:
    drawn = list(askings(1))
    assert {asking.plan.kind for asking in drawn} == set(SHAPES)
    assert len({asking.plan.key for asking in drawn}) == len(drawn)
    for plan, triggers in drawn:
        body = msgspec.json.decode(plan.body)
        items = body["notifications"] if plan.kind == "batch" else [body]
        assert [(item["workflow"], tuple(item["to"])) for item in items] == [(t.workflow, t.users) for t in triggers]
        assert plan.deliveries == [MESSAGES[t.kind] * len(t.users) for t in triggers]


def test_what_triggers_name_is_defined() -> None:
    assert set(definitions()) == set(WORKFLOWS)
    steps = [step for body in definitions().values() for step in body["steps"]]
    assert {step["template"] for step in steps if step["kind"] == "send"} == set(templates())

import msgspec

from clarion_lab.chaos.journeys import INSTANCES, MESSAGES, SHAPES, WORKFLOWS, definitions, templates, trigger_requests


def test_a_seed_decides_every_trigger() -> None:
    assert list(trigger_requests(3)) == list(trigger_requests(3))
    assert list(trigger_requests(3)) != list(trigger_requests(4))


def test_triggers_start_the_exact_number_of_instances() -> None:
    for seed in range(5):
        triggers = [trigger for asking in trigger_requests(seed) for trigger in asking.triggers]
        assert sum(len(trigger.users) for trigger in triggers) == INSTANCES
        assert len({trigger.number for trigger in triggers}) == len(triggers)
        assert {trigger.workflow for trigger in triggers} == set(WORKFLOWS)


def test_every_plan_names_the_messages_of_its_triggers() -> None:
    drawn = list(trigger_requests(1))
    assert {asking.plan.kind for asking in drawn} == set(SHAPES)
    assert len({asking.plan.key for asking in drawn}) == len(drawn)
    for plan, triggers in drawn:
        body = msgspec.json.decode(plan.body)
        items = body["notifications"] if plan.kind == "batch" else [body]
        assert [(item["workflow"], tuple(item["to"])) for item in items] == [(t.workflow, t.users) for t in triggers]
        assert plan.deliveries == [MESSAGES[t.kind] * len(t.users) for t in triggers]


def test_definitions_named_by_triggers_exist() -> None:
    assert set(definitions()) == set(WORKFLOWS)
    steps = [step for body in definitions().values() for step in body["steps"]]
    assert {step["template"] for step in steps if step["kind"] == "send"} == set(templates())

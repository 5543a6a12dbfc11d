"""The verdict on an outage sees each way to fail it, and passes a run in which nothing went wrong."""

import msgspec
import pytest

from clarion_lab.outage.verdict import (
    AcceptedNotification,
    Evidence,
    Plan,
    StoredOutcome,
    VendorRequest,
    fault_lines,
    judge,
    trace,
)

PLAN = Plan("hit", "misconfigured", 100.0, 200.0)


def name(tenant, kind, at_s):
    return f"{tenant[:3]}-{kind}-{at_s:05.1f}"


def good():
    """A run without a fault: while the vendor is down orders go by SMS and promotions wait, then drain at half the rate."""
    asked, called, reported = [], [], []
    drain = 200.0
    for second in range(400):
        at_s = float(second)
        down = PLAN.from_s <= at_s < PLAN.to_s
        for tenant, kind in (
            ("hit", "order"),
            ("hit", "promotion"),
            ("misconfigured", "promotion"),
            ("misconfigured", "text"),
            ("healthy", "promotion"),
        ):
            id_, channel = name(tenant, kind, at_s), "sms" if kind == "text" else "push"
            asked.append(AcceptedNotification(id_, tenant, kind, at_s, f"token-{tenant}-{second}", False))
            if tenant == "misconfigured" and kind == "promotion":
                reported.append(StoredOutcome(id_, "push", "retrying", "misconfigured", 0))
                continue
            sent_s = at_s + 0.2
            if tenant == "hit" and down and kind == "order":
                reported.append(StoredOutcome(id_, "push", "dead", "provider_down", 0))
                channel = "sms"
            elif tenant == "hit" and down:
                drain += 1.0
                sent_s = drain
            called.append(VendorRequest(sent_s, channel, id_, f"token-{tenant}-{second}", 200, True))
            reported.append(StoredOutcome(id_, channel, "sent", "none", 0))
    called.sort(key=lambda call: call.at_s)
    return Evidence(PLAN, asked, called, reported, [])


def with_(evidence, **changes):
    return judge(msgspec.structs.replace(evidence, **changes))


def changed(rows, notification, **changes):
    return [msgspec.structs.replace(row, **changes) if row.notification == notification else row for row in rows]


def without(rows, notification):
    return [row for row in rows if row.notification != notification]


@pytest.fixture(scope="module")
def run():
    return good()


PROMOTION, ORDER = name("hit", "promotion", 150.0), name("hit", "order", 150.0)
HEALTHY, TEXT = name("healthy", "promotion", 150.0), name("misconfigured", "text", 150.0)


def test_nothing_wrong_passes(run):
    verdict = judge(run)
    assert verdict.passed, verdict.faults
    assert verdict.figures() == {
        "lost": 0, "recovered_share": 1.0, "amplification": verdict.amplification, "spike": 1.5, "collateral": 0, "suppressed": 0,
    }  # fmt: skip
    assert verdict.amplification < 1
    assert verdict.notes["affected"] == 100
    assert verdict.notes["by_sms_while_down"] == 100
    assert verdict.trace == trace(run.called) != trace(run.called[1:])


@pytest.mark.parametrize(("state", "reason", "lost"), [
    ("dead", "attempts_exhausted", 1), ("retrying", "none", 1), ("retrying", "provider_down", 0), ("failed", "refused", 1),
    ("skipped", "suppressed", 1), ("expired", "expired", 1),
])  # fmt: skip
def test_an_undelivered_message_is_lost_unless_it_waits_for_a_reason(run, state, reason, lost):
    verdict = with_(
        run, called=without(run.called, PROMOTION), stored=changed(run.stored, PROMOTION, state=state, reason=reason)
    )
    assert verdict.lost == lost
    assert ("lost" in verdict.faults) == bool(lost)


def test_an_unreported_delivery_is_lost(run):
    verdict = with_(run, called=without(run.called, PROMOTION), stored=without(run.stored, PROMOTION))
    assert verdict.lost == 1
    assert PROMOTION in fault_lines(verdict.faults)[0]


def test_both_channels_are_twice_unless_it_is_recorded(run):
    extra = VendorRequest(300.0, "push", ORDER, "t", 200, True)
    reported = changed(run.stored, ORDER, state="sent")
    assert "sent_twice" in with_(run, called=[*run.called, extra], stored=reported).faults
    unsure = changed(reported, ORDER, unsure=1)
    assert with_(run, called=[*run.called, extra], stored=unsure).passed


def test_silent_sends_and_silent_losses_are_seen(run):
    assert set(with_(run, stored=changed(run.stored, PROMOTION, state="retrying", reason="provider_down")).faults) == {
        "sent_unknown"
    }
    assert "claimed_falsely" in with_(run, called=without(run.called, HEALTHY)).faults


@pytest.mark.parametrize("id_", [HEALTHY, TEXT])
def test_unaffected_messages_must_not_wait(run, id_):
    at_s = next(one.at_s for one in run.asked if one.notification == id_)
    assert with_(run, called=changed(run.called, id_, at_s=at_s + 4.9)).collateral == 0
    late = with_(run, called=changed(run.called, id_, at_s=at_s + 5.1))
    assert (late.collateral, set(late.faults)) == (1, {"collateral"})


def test_late_recovery_counts(run):
    assert "recovered_share" in with_(run, called=[c for c in run.called if c.at_s < 205 or c.at_s > 300]).faults


def test_repeated_calls_amplify_and_a_burst_is_a_spike(run):
    failed = [VendorRequest(150.0, "push", PROMOTION, "t", 503, False)] * 400
    verdict = with_(run, called=sorted([*run.called, *failed], key=lambda call: call.at_s))
    assert set(verdict.faults) == {"amplification"}
    burst = [msgspec.structs.replace(call, at_s=201.0) if 200 < call.at_s < 260 else call for call in run.called]
    assert "spike" in with_(run, called=burst).faults


def test_dead_tokens_are_suppressed_once_and_left_alone(run):
    token = "token-hit-150"
    asked = changed(run.asked, PROMOTION, dead=True)
    called = changed(run.called, PROMOTION, status=404, taken=False)
    reported = changed(run.stored, PROMOTION, state="failed", reason="invalid_recipient")
    assert "not_suppressed" in with_(run, asked=asked, called=called, stored=reported).faults
    assert with_(run, asked=asked, called=called, stored=reported, suppressed=[token]).passed
    assert "suppressed_twice" in with_(run, asked=asked, called=called, stored=reported, suppressed=[token] * 2).faults
    assert "suppressed_wrongly" in with_(run, suppressed=[token]).faults
    again = [*called, VendorRequest(390.0, "push", PROMOTION, token, 404, False)]
    verdict = with_(run, asked=asked, called=again, stored=reported, suppressed=[token])
    assert set(verdict.faults) == {"dead_token_called_again"}

from clarion_lab.bench.figures import Figures, joined
from clarion_lab.bench.reconcile import Balance


def figures(case: str, lost: int = 0) -> Figures:
    return Figures(case, 100, 2.0, {"total": 1.0}, 0.0, None, None, 1.0, Balance(lost, 1, 0, 0))


def test_one_run_is_its_own_line() -> None:
    run = figures("push")
    assert joined({"": run}) == run.as_dict()
    assert run.passed
    assert not figures("push", lost=1).passed


def test_several_runs_are_one_line_and_nothing_lost_in_one_of_them_is_hidden() -> None:
    line = joined({"": figures("email"), "ed25519": figures("email-dkim-ed25519", lost=3)})
    assert (line["case"], line["lost"], line["duplicates"]) == ("email", 3, 2)
    assert line["dkim"]["ed25519"]["per_second"] == 50.0
    assert line["dkim"]["ed25519"]["lost"] == 3

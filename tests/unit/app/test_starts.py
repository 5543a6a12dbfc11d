"""Every start of a process has a name of its own, and learns which starts before it are over."""

from clarion.app.starts import ENDED_VARIABLE, START_VARIABLE, noted, this_start


class Chance:
    """A clock of which only the entropy is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def entropy(self, size: int) -> bytes:
        self.asked += 1
        return self.asked.to_bytes(size)


def test_a_supervised_start_learns_of_those_before_it(tmp_path):
    told = [noted(tmp_path, "worker-0") for _ in range(3)]
    names = [env[START_VARIABLE] for env in told]
    assert len(set(names)) == 3
    assert [env[ENDED_VARIABLE].split() for env in told] == [[], names[:1], names[:2]]
    start = this_start("worker-0", told[2], Chance())
    assert start.owner == f"worker-0-{names[2]}"
    assert start.ended == [f"worker-0-{name}" for name in names[:2]]


def test_only_the_last_starts_are_kept(tmp_path):
    for _ in range(100):
        last = noted(tmp_path, "api")
    assert len(last[ENDED_VARIABLE].split()) == 8
    assert noted(tmp_path, "worker-0")[ENDED_VARIABLE] == ""


def test_a_start_by_hand_names_itself_and_frees_nothing():
    chance = Chance()
    one, other = this_start("worker-1", {}, chance), this_start("worker-1", {}, chance)
    assert one.owner != other.owner
    assert one.ended == []

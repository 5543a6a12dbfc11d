"""Preferences: the more specific wins, the user before the defaults, and a choice ends at its expiry."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.user import Choice
from clarion.plan.rules.preferences import Judgement, judge

NOW_MS = 1_000
values = st.booleans() | st.builds(Choice, st.booleans(), st.integers(NOW_MS - 3, NOW_MS + 3))
columns = st.sampled_from(["email", "sms", "*"])
rows = st.dictionaries(columns, values, max_size=3)
matrices = st.dictionaries(st.sampled_from(["news", "security", "*"]), rows, max_size=3)
defaults = st.dictionaries(columns, st.booleans(), max_size=3)


def without_the_ended(matrix, now_ms):
    """Return the matrix without the choices that have ended."""
    return {
        key: {c: v for c, v in row.items() if isinstance(v, bool) or v.until_ms > now_ms} for key, row in matrix.items()
    }


def of_user(matrix, category="news", channel="email", now_ms=NOW_MS):
    return judge(matrix, {}, {}, {}, category, channel, now_ms)


def test_the_more_specific_setting_wins():
    matrix = {"news": {"email": True, "*": False}, "*": {"sms": True, "email": False, "*": False}}
    assert of_user(matrix) == (True, "user preference news.email", None)
    assert of_user(matrix, "news", "sms") == (False, "user preference news.*", None)
    assert of_user(matrix, "other", "sms") == (True, "user preference *.sms", None)
    assert of_user(matrix, "other", "push") == (False, "user preference *.*", None)
    assert of_user({}) == Judgement(True)


def test_the_user_speaks_before_workflow_category_and_tenant_in_this_order():
    sources = [{"*": {"*": False}}, {"*": False}, {"*": False}, {"*": {"*": False}}]
    said = []
    for count in range(5):
        spoken = [type(source)() for source in sources[:count]] + sources[count:]
        said.append(judge(*spoken, "news", "email", NOW_MS).source)
    assert said == [
        "user preference *.*",
        "workflow default news.*",
        "category default news.*",
        "tenant default *.*",
        "",
    ]


def test_an_expired_choice_yields_to_the_next_less_specific_one():
    matrix = {"news": {"email": Choice(False, NOW_MS + 5), "*": Choice(True, NOW_MS + 9)}, "*": {"email": False}}
    assert of_user(matrix) == (False, "user preference news.email", NOW_MS + 5)
    assert of_user(matrix, now_ms=NOW_MS + 5) == (True, "user preference news.*", NOW_MS + 9)
    assert of_user(matrix, now_ms=NOW_MS + 9) == (False, "user preference *.email", None)
    category = judge({"news": {"email": Choice(True, NOW_MS)}}, {}, {"*": False}, {}, "news", "email", NOW_MS)
    assert category == (False, "category default news.*", None)


@given(matrices, defaults, defaults, matrices)
def test_ended_choices_are_as_if_never_made(user, workflow, category, tenant):
    result = judge(user, workflow, category, tenant, "news", "email", NOW_MS)
    bare = without_the_ended(user, NOW_MS), workflow, category, without_the_ended(tenant, NOW_MS)
    assert result == judge(*bare, "news", "email", NOW_MS)


@given(matrices, defaults, defaults, matrices, st.integers(0, 5))
def test_a_decision_holds_exactly_until_its_expiry(user, workflow, category, tenant, later_ms):
    result = judge(user, workflow, category, tenant, "news", "email", NOW_MS)
    again = judge(user, workflow, category, tenant, "news", "email", NOW_MS + later_ms)
    if result.valid_until_ms is None or NOW_MS + later_ms < result.valid_until_ms:
        assert again == result
    else:
        assert again != result

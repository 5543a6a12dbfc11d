"""The inbox through a user's own token: listed, counted, marked and archived items."""

import pytest

from tests.e2e.outside import Api, until
from tests.e2e.seed import NOTE, WELCOME

DATA = {"name": "Ada", "code": "1"}


@pytest.fixture
def home(tenant):
    tenant.seed_data({"note": NOTE, "welcome": WELCOME}, ["inapp"])
    tenant.user("ada", attributes={"city": "London"})
    return tenant


def titles(page):
    return [item["content"]["title"] for item in page["data"]]


def filled(home, number):
    """Put this number of items into Ada's inbox, one after the other; return a client of it."""
    for index in range(number):
        home.send_and_wait("ada", "note", {"text": f"note {index}"}, channels=["inapp"])
    inbox = home.inbox_of("ada")
    until(lambda: inbox.get("/v1/inbox/counts")["total"] == number, "all in the inbox")
    return inbox


def test_an_item_has_what_the_template_says_and_comes_newest_first(home):
    home.send_and_wait("ada", "welcome", DATA)
    home.send_and_wait("ada", "note", {"text": "later"}, channels=["inapp"])
    page = home.inbox_of("ada").get("/v1/inbox")
    assert titles(page) == ["later", "Welcome, Ada"]
    assert page["data"][1]["content"] == {"title": "Welcome, Ada", "body": "Code 1 in London", "url": "/codes/1"}
    assert page["next"] is None
    assert (page["data"][0]["seen_at"], page["data"][0]["read_at"], page["data"][0]["archived_at"]) == (None,) * 3


def test_marks_show_in_the_item_and_in_the_counts(home):
    inbox = filled(home, 3)
    newest, middle, oldest = [item["id"] for item in inbox.get("/v1/inbox")["data"]]
    assert inbox.get("/v1/inbox/counts") == {"total": 3, "unseen": 3, "unread": 3, "more": False}
    inbox.post(f"/v1/inbox/{newest}/seen")
    assert inbox.get("/v1/inbox/counts") == {"total": 3, "unseen": 2, "unread": 3, "more": False}
    inbox.post(f"/v1/inbox/{middle}/read")
    inbox.post(f"/v1/inbox/{middle}/read")
    assert inbox.get("/v1/inbox/counts") == {"total": 3, "unseen": 1, "unread": 2, "more": False}
    inbox.post(f"/v1/inbox/{oldest}/archive")
    assert inbox.get("/v1/inbox/counts") == {"total": 2, "unseen": 0, "unread": 1, "more": False}
    assert titles(inbox.get("/v1/inbox")) == ["note 2", "note 1"]
    assert titles(inbox.get("/v1/inbox", show="archived")) == ["note 0"]
    assert titles(inbox.get("/v1/inbox", show="unread")) == ["note 2"]
    assert titles(inbox.get("/v1/inbox", show="all")) == ["note 2", "note 1", "note 0"]
    inbox.post(f"/v1/inbox/{middle}/unread")
    inbox.post(f"/v1/inbox/{oldest}/unarchive")
    assert inbox.get("/v1/inbox/counts") == {"total": 3, "unseen": 1, "unread": 3, "more": False}


def test_read_all_reads_what_is_there_and_nothing_later(home):
    inbox = filled(home, 2)
    inbox.post("/v1/inbox/read-all")
    assert inbox.get("/v1/inbox/counts") == {"total": 2, "unseen": 0, "unread": 0, "more": False}
    home.send_and_wait("ada", "note", {"text": "new"}, channels=["inapp"])
    assert inbox.get("/v1/inbox/counts") == {"total": 3, "unseen": 1, "unread": 1, "more": False}
    assert titles(inbox.get("/v1/inbox", show="unread")) == ["new"]


def test_pages_follow_the_cursor_and_miss_nothing_that_arrives_meanwhile(home):
    inbox = filled(home, 5)
    first = inbox.get("/v1/inbox", limit=2)
    assert titles(first) == ["note 4", "note 3"]
    home.send_and_wait("ada", "note", {"text": "meanwhile"}, channels=["inapp"])
    rest = [item["content"]["title"] for item in inbox.pages("/v1/inbox", limit=2, after=first["next"])]
    assert rest == ["note 2", "note 1", "note 0"]
    for limit in ("0", "201", "x", "-1"):
        assert inbox.refused(422, "GET", "/v1/inbox", query={"limit": limit})["field"] == "limit"
    for after in ("!", "AAAA", "A" * 5000):
        assert inbox.refused(422, "GET", "/v1/inbox", query={"after": after})["field"] == "after"
    assert inbox.refused(422, "GET", "/v1/inbox", query={"show": "everything"})["field"] == "show"


def test_an_inbox_is_its_users_alone(home, operator):
    inbox = filled(home, 1)
    item = inbox.get("/v1/inbox")["data"][0]["id"]
    home.user("bob")
    other = home.inbox_of("bob")
    assert other.get("/v1/inbox")["data"] == []
    unknown = other.refused(404, "POST", f"/v1/inbox/{item[:-2]}00/read")
    assert other.refused(404, "POST", f"/v1/inbox/{item}/read")["code"] == unknown["code"] == "not_found"
    assert inbox.get("/v1/inbox/counts")["unread"] == 1
    # A token opens the inbox and nothing else; a key opens no inbox.
    inbox.refused(403, "GET", "/v1/users/ada")
    inbox.refused(403, "POST", "/v1/notifications", {"to": "ada", "template": "note"})
    home.refused(403, "GET", "/v1/inbox")
    operator.refused(403, "GET", "/v1/inbox")


def test_a_token_that_was_altered_or_has_ended_opens_nothing(home):
    made = home.post("/v1/users/ada/tokens", {"ttl_s": 1})
    head, claims, signature = made["token"].split(".")
    for forged in (f"{head}.{claims}.{signature[:-2]}AA", f"{head}.{claims}.", f"{head}.{claims[:-2]}AA.{signature}"):
        code = Api(home.port, forged).refused(401, "GET", "/v1/inbox")["code"]
        assert code in ("token_signature_wrong", "token_malformed")
    short = Api(home.port, made["token"])
    until(lambda: short.call("GET", "/v1/inbox").status == 401, "the token has ended", 5)
    assert short.refused(401, "GET", "/v1/inbox")["code"] == "token_expired"
    assert home.refused(422, "POST", "/v1/users/ada/tokens", {"ttl_s": 0})["field"] == "ttl_s"
    assert home.refused(404, "POST", "/v1/users/nobody/tokens", {})["code"] == "not_found"

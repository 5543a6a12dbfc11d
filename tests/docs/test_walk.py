"""The walk fails when a page and the program disagree."""

import tempfile

import pytest

from tests.docs.walk import Block, blocks, differs, variables

PAGE = """
```console
CLARION_API_PORT=1 CLARION_LOG_LEVEL=info .venv/bin/clarion up
```

```sh
call GET /v1/users
```

```python receiver.py
print("hello")
```
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_a_folder_that_all_users_share_becomes_one_of_the_run(page):
    page.write_text(PAGE.replace("CLARION_LOG_LEVEL=info", "CLARION_SECRETS_ALLOW=file:/tmp/secrets/*"))
    assert variables(page)["CLARION_SECRETS_ALLOW"] == f"file:{tempfile.gettempdir()}/secrets/*"


def shown(text, language="json"):
    return Block(language, "", text, 1)


def test_blocks_come_with_language_file_and_line(page):
    assert [(b.language, b.file, b.line) for b in blocks(page)] == [
        ("console", "", 2),
        ("sh", "", 6),
        ("python", "receiver.py", 10),
    ]


def test_a_page_says_with_which_variables_it_starts(page):
    assert variables(page) == {"CLARION_API_PORT": "1", "CLARION_LOG_LEVEL": "info"}


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('{"a": 1}', 'first line\n{"a": 1, "b": 2}\n'),
        ('{"id": "ntf_..."}', '{"id": "ntf_01"}'),
        ('{"a": "..."}', '{"a": [1]}'),
        ('[1, "..."]', "[1, 2, 3]"),
        ('["..."]', "[]"),
    ],
)
def test_an_answer_may_hold_more_than_is_shown(text, printed):
    assert differs(shown(text), text, printed) == ""


@pytest.mark.parametrize(
    ("text", "printed", "difference"),
    [
        ('{"a": 1}', '{"b": 1}', "answer has no a"),
        ('{"a": [{"b": 1}]}', '{"a": [{"b": 2}]}', "answer.a[0].b is 2"),
        ('{"id": "ntf_..."}', '{"id": "brd_01"}', "answer.id is 'brd_01'"),
        ("[1]", "[1, 2]", "answer has 2 items"),
        ('[1, 2, "..."]', "[1]", "answer has 1 items"),
        ('{"a": true}', '{"a": 1}', "answer.a is 1"),
        ("{}", "not found", "the last line is not JSON"),
    ],
)
def test_what_differs_is_named(text, printed, difference):
    assert differs(shown(text), text, printed) == difference


def test_text_is_compared_as_a_whole():
    assert differs(shown("one ... three", "text"), "one ... three", "\none two three\n") == ""
    assert differs(shown("one", "text"), "one", "one two") != ""

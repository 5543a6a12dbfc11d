"""TOML bodies: values that are read, and bodies that would take the parser too long or too much memory."""

from resource import RUSAGE_SELF, getrusage
from time import thread_time

import pytest

from clarion.domain.errors import Malformed
from clarion.domain.limits import DEFINITION_BYTES_MAX
from clarion.ways_in.http.toml import parsed

SECONDS = 2.0
MEMORY_KIB = 128 * 1024


def test_values_are_read():
    text = """
a.b."c.d" = 1
[[steps]]
name = "ä" # a.b.c
if = "data.a.b.c.d.e.f.g.h"
"""
    assert parsed(text.encode()) == {"a": {"b": {"c.d": 1}}, "steps": [{"name": "ä", "if": "data.a.b.c.d.e.f.g.h"}]}


ATTACKS = {
    "a key of many parts": b"a" + b".a" * 120_000 + b" = 1",
    "with space between them": b"a" + b" \t. a" * 50_000 + b" = 1",
    "in quotes": b'"a"' + b'."a"' * 60_000 + b" = 1",
    "in quotes that hold quotes": rb'"\""' + rb'."\""' * 50_000 + b" = 1",
    "in single quotes": b"'a'" + b".'a'" * 60_000 + b" = 1",
    "mixed": b"a" + b""".'a'."a".a""" * 20_000 + b" = 1",
    "a table": b"[a" + b".a" * 120_000 + b"]",
    "a list of tables": b"[[a" + b".a" * 120_000 + b"]]",
    "in an inline table": b"x = {a" + b".a" * 120_000 + b" = 1}",
    "lists in lists": b"a = " + b"[" * 250_000,
    "tables in tables": b"a = " + b"{b = " * 50_000,
    "a number without end": b"a = " + b"1" * 250_000,
    "a word without end": b"a" * 250_000,
    "quotes without end": b"\"'" * 120_000,
    "a string without end": b'a = "' + b"\\" * 250_000,
    "not UTF-8": b'a = "\xff"',
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_attack_is_refused_in_time(attack):
    raw = ATTACKS[attack][:DEFINITION_BYTES_MAX]
    before_kib, started_s = getrusage(RUSAGE_SELF).ru_maxrss, thread_time()
    with pytest.raises(Malformed):
        parsed(raw)
    assert thread_time() - started_s < SECONDS
    assert getrusage(RUSAGE_SELF).ru_maxrss - before_kib < MEMORY_KIB

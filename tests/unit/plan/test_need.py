"""Needs are values that merge; a look-up that fails carries one."""

from clarion.plan.rules.need import Lacking, Need


def test_needs_merge_by_kind():
    merged = Need({"users": [("t", "ada")]}) | Need({"users": [("t", "bob")], "cells": [b"k"]})
    assert merged == Need({"users": {("t", "bob"), ("t", "ada")}, "cells": {b"k"}})
    assert merged.of("users") == {("t", "ada"), ("t", "bob")}


def test_nothing_wanted_is_false_and_of_every_kind_empty():
    assert not Need()
    assert not Need({"users": []})
    assert Need().of("cells") == frozenset()


def test_lacking_carries_its_need_and_tells_no_key():
    error = Lacking(Need({"users": [("t", "ada")]}))
    assert error.need.of("users") == {("t", "ada")}
    assert "ada" not in str(error)

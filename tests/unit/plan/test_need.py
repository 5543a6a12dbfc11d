"""Needs are values that merge; a failed lookup carries one."""

from clarion.plan.rules.need import MissingFacts, Need


def test_needs_merge_by_kind():
    merged = Need({"users": [("t", "ada")]}) | Need({"users": [("t", "bob")], "cells": [b"k"]})
    assert merged == Need({"users": {("t", "bob"), ("t", "ada")}, "cells": {b"k"}})
    assert merged.of("users") == {("t", "ada"), ("t", "bob")}


def test_an_empty_need_is_false_and_empty_for_every_kind():
    assert not Need()
    assert not Need({"users": []})
    assert Need().of("cells") == frozenset()


def test_a_missing_fact_carries_its_need_and_shows_no_key():
    error = MissingFacts(Need({"users": [("t", "ada")]}))
    assert error.need.of("users") == {("t", "ada")}
    assert "ada" not in str(error)

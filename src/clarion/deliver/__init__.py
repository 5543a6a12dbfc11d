"""Deliver: a delivery becomes an outcome.

In: frames on `deliver.<channel>.<lane>`.  Out: attempts, outcomes, retry timers, dead letters.
Promise: send, record, commit, never the reverse; one slow provider or channel never holds another.
"""

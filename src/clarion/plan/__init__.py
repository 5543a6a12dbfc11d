"""Plan: an event becomes deliveries.

In: frames on `accepted.<lane>`.  Out: frames on `deliver.<channel>.<lane>`, timers, skips with reasons.
Promise: a pure decision per recipient from frozen facts; replaying it yields the same deliveries with the same ids.
"""

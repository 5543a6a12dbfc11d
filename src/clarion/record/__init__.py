"""Record: an outcome becomes history.

In: outcomes and receipts.  Out: delivery state, timeline, counters, inbox, dead letters.
Promise: exactly one terminal state per delivery; late and repeated receipts never move it backwards.
"""

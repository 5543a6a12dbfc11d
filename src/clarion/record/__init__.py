"""Record: an outcome becomes history.

In: outcomes and receipts.  Out: delivery state, timeline, counters, suppressions, outgoing webhooks.
Promise: exactly one terminal state per delivery; late and repeated receipts never move it backwards.
"""

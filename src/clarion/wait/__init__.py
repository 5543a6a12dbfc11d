"""Wait: a timer that falls due goes back on the journal.

In: timers.  Out: frames back on the journal.
Promise: retries, delays, quiet hours, digests, schedules and time-outs each fire once, late rather than never.
"""

"""Feedback: delivery receipts and inbound messages become events.

In: calls of providers.  Out: receipts on `outcomes`, suppressions.
Promise: success is returned only after everything is durable; a call that fails verification stores nothing; repeated,
late and reordered calls do no harm.
"""

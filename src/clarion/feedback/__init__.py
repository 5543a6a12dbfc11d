"""Stage feedback: what providers tell after a send. Input: calls of providers. Output: receipts on `outcomes`, suppressions.

Promise: nothing is answered with success before it is durable; a call that is not provably the provider's stores nothing;
what comes again, late or out of order does no harm.
"""

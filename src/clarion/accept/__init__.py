"""Accept: a request becomes a durable event.

In: HTTP requests.  Out: a frame on `accepted.<lane>`.
Promise: nothing is acknowledged before it is durable; bad input is refused here, with its reason.
"""

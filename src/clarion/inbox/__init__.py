"""Inbox: history becomes what a person sees now.

In: recorded in-app items.  Out: inbox rows and socket frames.
Promise: the store is the truth, the socket is a hint; a client that reconnects misses nothing.
"""

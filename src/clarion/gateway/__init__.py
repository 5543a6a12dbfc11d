"""Gateway: users hear of their inbox at once, over WebSocket or server-sent events.

In: recorded items and marks.  Out: frames to connected clients.
Promise: the store is the truth. A client that comes back with its position gets exactly what it missed, or is told to reload.
"""

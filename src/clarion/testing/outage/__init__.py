"""The chaos case `outage`: a vendor is down for ten minutes of virtual time, under load, while real stages do the work.

It stands here and not beside the other cases because it needs made-up time; `app/chaos/outage.py` judges it.
"""

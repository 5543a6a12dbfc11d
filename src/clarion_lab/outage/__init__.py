"""The chaos case `outage`: a vendor is down for ten minutes of virtual time, under load, while real stages run."""

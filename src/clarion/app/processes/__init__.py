"""The processes of an installation: API, worker, scheduler, and their supervisor."""

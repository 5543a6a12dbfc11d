"""The Apprise library behind a fence: what it sends goes out as our calls, and it reaches nothing else."""

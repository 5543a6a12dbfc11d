"""The Apprise library behind a fence: its requests are sent through the guarded client, and it reaches nothing else."""

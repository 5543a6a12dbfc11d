"""Schedules: what is sent again and again, by cron or recurrence rule, to a user or an audience."""

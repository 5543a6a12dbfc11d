"""Schedules: notifications that recur, by cron or recurrence rule, to a user or an audience."""

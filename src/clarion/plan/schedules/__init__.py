"""Schedules whose time has come: what an occurrence sends, and the timer of the next one."""

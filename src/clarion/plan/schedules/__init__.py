"""Due schedules: the notification or broadcast of an occurrence, and the timer of the next one."""

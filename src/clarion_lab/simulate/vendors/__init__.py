"""The HTTP vendors that the simulator plays: a module for each group, with data that `stage` interprets."""

"""The HTTP vendors as the simulator plays them: a module for each group, all of them data that `stage` acts upon."""

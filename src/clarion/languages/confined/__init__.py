"""Processing of hostile templates, each job in its own process with little memory, little time and no open files."""

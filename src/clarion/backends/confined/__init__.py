"""Work on hostile templates, each piece in a process of its own with little memory, little time and nothing open."""

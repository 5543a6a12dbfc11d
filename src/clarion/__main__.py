"""`python -m clarion`: the command line."""

from clarion.app.cli import main

main()

"""`python -m clarion`: the command line."""

from clarion.app.cli.main import main

main()

"""`python -m blemish` is the command line."""

from blemish.cli import main

main()

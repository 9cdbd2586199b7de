"""Random input for everything that parses what comes from outside: see `python -m tests.fuzz --help`."""

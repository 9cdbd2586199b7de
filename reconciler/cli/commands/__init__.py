"""One module for each command: it parses the call, calls a use case, and prints what comes of it."""

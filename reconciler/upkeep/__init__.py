"""The target held against the mirror index: verify, repair, adopt."""

"""What the target holds and how it is spelled: keys, mirror index, lock, catalog, garbage."""

"""Counts of the tags that clients ask for: those that they pull, and those that are not mirrored.

    tally    counts names within a bounded memory; pure
    counts   the counts of one day, and their JSON; pure
    counter  counts in a server, and writes to a store
    stored   reads what was counted; `target.compaction` removes what is old
    wanted   selects what was missed and is not mirrored; pure

A writer has one object a day (`_mirror/pulls/<day>/<writer>.json`), so that no two writers need to agree: a reader adds
them up. Only repositories, tags and days are counted, nothing about clients.
"""

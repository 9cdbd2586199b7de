"""Counts of the tags that clients ask for: those that they pull, and those that are not mirrored.

    tally    counts names within a bounded memory; pure
    counts   the counts of one day, and their JSON; pure
    counter  counts in a server, and writes to a store
    stored   reads what was counted; `target.compaction` removes what is old
    recent   reads the pulls of the last days that are over
    merging  merges the objects of a day that is over
    demand   sums up in few numbers what metrics show
    wanted   selects what was missed and is not mirrored; pure

A writer has one object a day (`_mirror/pulls/<day>/<writer>.json`), so that no two writers need to agree: a reader adds
them up, and `r2mirror gc` merges them later. Only repositories, tags and days are counted, nothing about clients.
"""

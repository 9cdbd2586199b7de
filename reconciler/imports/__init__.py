"""Translates the configurations of other tools into mirrors.yaml, for `r2mirror import`. Opens no file.

    formats    the tools: how a file of each is recognised, and what translates it; a tool is a module and a row
    reading    reads a parsed file, and remembers what was read, so that what was not can be reported
    rules      what the tools' patterns for tags are as entries of mirrors.yaml
    names      references to images and names of destinations, as the tools spell them
    drafts     what a translation is made of
    merged     drafts -> mirrors, one for each target
    renames    names of tags, one by one -> the `rename` that makes them
    namespaces patterns of repositories -> sources that end with `/*`
    prefixes   what all targets begin with
    written    mirrors -> the text of a mirrors.yaml that passes `validate`
    parts      divides it among files that it includes, if one cannot hold it
    checked    what `validate` would find in it
    stores     spells stores, as arguments and as keys
    starting   the files of a new mirror, for `r2mirror init`
    remarks    the comments of a file, which go along with what they stand beside

Every key of a file is read by its translation or reported: as a comment in the result and as a note. Credentials are
never copied; their places are named.
"""

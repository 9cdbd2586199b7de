"""Lists the commands. Each is imported only when it is called or its own help is printed.

A new command is a module in `commands/` and a row here.
"""

from __future__ import annotations

from reconciler.frozen import Frozen


class Row(Frozen):
    """One command.

    name    what users type
    place   the module in `commands/`, and the function in it or a `Typer` with commands of its own
    help    one line for `r2mirror --help`: the start of the command's docstring
    within  the names of the commands below it
    """

    name: str
    place: str
    help: str
    within: tuple[str, ...] = ()


SECTIONS = {
    "Mirror": (
        Row("init", "init:init", "Begin a mirror: write mirrors.yaml, a pre-commit hook and a workflow."),
        Row("import", "import_:import_", "Translate the configuration of another tool into mirrors.yaml."),
        Row("validate", "validate:validate", "Check mirrors files, offline and without credentials."),
        Row("plan", "plan:plan", "Show what apply would do."),
        Row("apply", "apply:apply", "Apply mirrors.yaml to the store."),
        Row("lock", "lock:lock", "Write the digest of every tag that mirrors.yaml chooses into mirrors.lock."),
        Row("watch", "watch:watch", "Run plan and apply by itself, on the schedule of mirrors.yaml and after edits."),
        Row("export", "export:export", "Write what a target without a network lacks into one file."),
        Row("tags", "tags:tags", "Show what patterns choose of a source's tags."),
        Row("find", "find:find", "Find the images that files name, and those that are not mirrored."),
        Row("wanted", "wanted:wanted", "Show the tags that clients asked for and that are not mirrored."),
        Row("rewrite", "rewrite:rewrite", "Name the images that the mirror has at the mirror."),
        Row("diff", "diff:diff", "Summarize what an edit to a mirrors file means."),
        Row("review", "review:review", "Write a pull-request comment about an edit and a plan."),
    ),
    "Maintain": (
        Row("list", "list:list_", "List the repositories of the store, or the tags of one."),
        Row("history", "history:history", "Show what changed in the mirror, when and by whom."),
        Row("copy", "copy:copy", "Copy one image now, whatever mirrors.yaml chooses, and hold its tag."),
        Row("remove", "remove:remove", "Remove one tag now, whatever mirrors.yaml chooses."),
        Row("restore", "restore:restore", "Point tags back to digests that the store still has."),
        Row("release", "release:release", "Let applies change restored tags again."),
        Row("verify", "verify:verify", "Compare the store with the mirror index."),
        Row("gc", "gc:gc", "Remove blobs and manifests that nothing references any more."),
        Row("adopt", "adopt:adopt", "Take over what is already in the store; copies no blob."),
        Row("doctor", "doctor:doctor", "Diagnose the mirror, the store and the sources."),
        Row("notify", "notify:notify", "Check the notifiers of mirrors.yaml.", ("test",)),
        Row("unlock", "unlock:unlock", "Break the lock of a run that hangs or died."),
    ),
    "Serve": (
        Row("client-config", "client_config:client_config", "Print what a client needs to pull from this mirror."),
        Row("serve", "serve:serve", "Serve the store as a read-only registry."),
        Row(
            "edge",
            "edge:edge",
            "Manage an R2 bucket's custom domain, and its rules or its Worker.",
            ("plan", "apply", "print", "token", "token create", "token list", "token revoke"),
        ),
    ),
    "About r2mirror": (
        Row("schema", "schema:schema", "Print the JSON Schema of mirrors.yaml or of an output."),
        Row("completion", "completion:completion", "Print what a shell reads to complete r2mirror."),
        Row("docs", "docs:docs", "Print the URL of a page of the documentation, or list the pages."),
        Row("version", "version:version", "Print the version of r2mirror, of Python and of each format."),
    ),
}

ROWS = {row.name: row for rows in SECTIONS.values() for row in rows}

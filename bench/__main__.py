"""`python -m bench [NAME...] [OPTION...]`: runs scenarios and prints what they cost; `--help` lists the options."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.installed import install, version
from bench.measure import MIB, spread
from bench.scenarios import SCENARIOS, Table, ground, say
from bench.tools import OURS

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENARIOS)}; all unless told")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="little data, to see that it works")
    parser.add_argument("--write", type=Path, help="put the tables into this file, between its markers")
    parser.add_argument("--program", type=Path, help="the r2mirror to measure; else this one is installed for it")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="r2mirror-bench-") as folder:
        say("installing r2mirror from its wheel" if not options.program else f"measuring {options.program}")
        program = options.program or install(Path(folder))
        texts = [_heading(sys.argv[1:], program)]
        for name in options.names or SCENARIOS:
            say(f"{name}: starting the servers, and filling the registry")
            with ground(program) as place:
                for table in SCENARIOS[name](place, options.rounds, options.small):
                    texts.append(_markdown(table))
                    print(texts[-1], flush=True)
    if options.write:
        _write(options.write, "\n".join(texts))


def _heading(arguments: list[str], program: Path) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * MIB)
    day = datetime.now(UTC).date()
    where = f"{os.cpu_count()} cores, {memory} GiB of memory, {version(program)}"
    return f"`python -m bench {' '.join(arguments)}` on {day}, {where}.\n"


def _markdown(table: Table) -> str:
    """Seconds, CPU time and peak memory of each tool, and what ours takes of its time, round by round."""
    lines = [f"### {table.title}", ""]
    if table.costs:
        lines += ["| | seconds | CPU seconds | peak memory | r2mirror takes |", "| --- | --- | --- | --- | --- |"]
    ours = [cost.seconds for cost in table.costs.get(OURS, [])]
    for tool, costs in table.costs.items():
        seconds = [cost.seconds for cost in costs]
        pairs = zip(ours, seconds, strict=True) if ours and tool != OURS else ()
        ratios = [mine / theirs for mine, theirs in pairs]
        ratio = f"{spread(ratios):{'.3f' if min(ratios) < 0.1 else '.2f'}} x its time" if ratios else ""
        peak = max(cost.peak for cost in costs) / MIB
        cpu = spread([cost.cpu for cost in costs])
        lines.append(f"| {tool} | {spread(seconds)} | {cpu} | {peak:.0f} MiB | {ratio} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes), ""])


def _write(file: Path, text: str) -> None:
    before, _, rest = file.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()

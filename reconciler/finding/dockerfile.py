"""Finds the images of Dockerfiles and Containerfiles: FROM, COPY --from, RUN --mount=from=, and `# syntax=`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.finding.found import Item, Text
from reconciler.finding.variables import CannotExpand, expand, only_variable
from reconciler.frozen import Frozen
from reconciler.regex import expression

if TYPE_CHECKING:
    import re

_DIRECTIVE = expression(r"#[ \t]*(?P<name>[A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(?P<value>[^\r\n]*?)[ \t\r]*(?:\n|$)")
_WORD = expression(r"\S+")
_ARGUMENT = expression(r"""(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>"[^"]*"|'[^']*'|\S*)""")
_HEREDOC = expression(r"""(?:^|(?<=\s))[0-9]*<<(?P<tabs>-?)(?P<quote>["']?)(?P<end>[A-Za-z_][A-Za-z0-9_]*)(?P=quote)""")
_MOUNT_FROM = expression(r"(?:^|,)from=(?P<name>[^,]*)")
_TAKES_HEREDOCS = ("RUN", "COPY", "ADD")
_NO_IMAGE = "scratch"


class _Instruction(Frozen):
    """An instruction without what continues its lines: as many characters as in the file, from `start` on."""

    start: int
    text: str

    @property
    def words(self) -> list[re.Match[str]]:
        return list(_WORD.finditer(self.text))


class _Argument(Frozen):
    value: str
    start: int
    end: int


@dataclass
class _Stages:
    """What the instructions so far have defined."""

    names: set[str] = field(default_factory=set)
    count: int = 0
    arguments: dict[str, _Argument] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    def is_one(self, name: str) -> bool:
        return name.lower() in self.names or (name.isdecimal() and len(name) < 9 and int(name) < self.count)

    def declare(self, name: str, argument: _Argument) -> None:
        self.arguments[name] = argument
        self.values[name] = argument.value


def find_in_dockerfile(text: str, file: str) -> Iterator[Item]:
    """Finds the images of a Dockerfile. Stages are not images, and neither is `scratch`."""
    source, stages = Text(text, file), _Stages()
    at, escape = 0, "\\"
    while match := _DIRECTIVE.match(text, at):
        at = match.end()
        if match["name"].lower() == "escape":
            escape = match["value"] or escape
        elif match["name"].lower() == "syntax" and match["value"]:
            value = match["value"].split()[0]
            yield source.found(value, match.start("value"), match.start("value") + len(value), "syntax")
    for instruction in _instructions(text, at, escape):
        yield from _images(source, instruction, stages)


def _instructions(text: str, at: int, escape: str) -> Iterator[_Instruction]:
    while at < len(text):
        instruction, at = _instruction(text, at, escape)
        words = instruction.words
        if not words:
            continue
        yield instruction
        names = [word[0].upper() for word in words[:2]]
        if names[0] in _TAKES_HEREDOCS or (names[0] == "ONBUILD" and names[-1] in _TAKES_HEREDOCS):
            for heredoc in _HEREDOC.finditer(instruction.text):
                at = _after_heredoc(text, at, heredoc)


def _instruction(text: str, at: int, escape: str) -> tuple[_Instruction, int]:
    """Returns the instruction that begins at `at`, and where the next one does. A comment is one without words."""
    parts: list[str] = []
    start, goes_on = at, True
    while goes_on and at < len(text):
        end = _end_of_line(text, at)
        line = text[at:end]
        bare = line.strip()
        if bare.startswith("#") or not bare:
            parts.append(" " * len(line))
            goes_on = bool("".join(parts).strip())
        else:
            goes_on = bare.endswith(escape)
            kept = line.rstrip().removesuffix(escape) if goes_on else line
            parts.append(kept.ljust(len(line)))
        at = end
    return _Instruction(start, "".join(parts)), at


def _end_of_line(text: str, at: int) -> int:
    newline = text.find("\n", at)
    return len(text) if newline < 0 else newline + 1


def _after_heredoc(text: str, start: int, heredoc: re.Match[str]) -> int:
    """Returns where the text of a heredoc ends; `start` if it does not, for then it was not one."""
    at = start
    while at < len(text):
        end = _end_of_line(text, at)
        line = text[at:end].rstrip("\r\n")
        at = end
        if (line.lstrip("\t") if heredoc["tabs"] else line) == heredoc["end"]:
            return at
    return start


def _images(source: Text, instruction: _Instruction, stages: _Stages) -> Iterator[Item]:
    words = instruction.words
    name = words.pop(0)[0].upper()
    if name == "ONBUILD" and words:
        name = words.pop(0)[0].upper()
    match name:
        case "ARG" if not stages.count:
            _declare(instruction, stages)
        case "FROM":
            yield from _from(source, instruction, words, stages)
        case "COPY" | "RUN":
            for word in words:
                if not word[0].startswith("--"):
                    break
                yield from _from_option(source, instruction, word, stages)
        case _:
            pass


def _declare(instruction: _Instruction, stages: _Stages) -> None:
    for match in _ARGUMENT.finditer(instruction.text):
        start, end = instruction.start + match.start("value"), instruction.start + match.end("value")
        value = match["value"]
        if value[:1] in "\"'" and len(value) > 1:
            value, start, end = value[1:-1], start + 1, end - 1
        try:
            expanded = expand(value, stages.values)
        except CannotExpand:
            continue  # Where it is used, it has no default.
        stages.declare(match["name"], _Argument(expanded.value, start + expanded.start, start + expanded.end))


def _from(source: Text, instruction: _Instruction, words: list[re.Match[str]], stages: _Stages) -> Iterator[Item]:
    while words and words[0][0].startswith("--"):
        words.pop(0)
    if words:
        start = instruction.start + words[0].start()
        yield from _named(source, words[0][0], start, "FROM", stages)
    if len(words) > 2 and words[1][0].upper() == "AS":
        stages.names.add(words[2][0].lower())
    stages.count += 1


def _from_option(source: Text, instruction: _Instruction, word: re.Match[str], stages: _Stages) -> Iterator[Item]:
    option, _, value = word[0].partition("=")
    start = instruction.start + word.start() + len(option) + 1
    if option == "--from" and value:
        yield from _named(source, value, start, "COPY --from", stages)
    elif option == "--mount" and (match := _MOUNT_FROM.search(value)) and match["name"]:
        yield from _named(source, match["name"], start + match.start("name"), "RUN --mount", stages)


def _named(source: Text, name: str, start: int, how: str, stages: _Stages) -> Iterator[Item]:
    """Finds the image that an instruction names, unless that is a stage."""
    if name[:1] in "\"'" and name[-1:] == name[:1] and len(name) > 1:
        name, start = name[1:-1], start + 1
    end = start + len(name)
    try:
        expanded = expand(name, stages.values)
    except CannotExpand as error:
        yield source.unresolved(start, end, how, str(error))
        return
    if stages.is_one(expanded.value) or expanded.value.lower() == _NO_IMAGE:
        return
    argument = stages.arguments.get(only_variable(name) or "")
    if argument and source.text[argument.start : argument.end] == expanded.value:
        yield source.found(expanded.value, argument.start, argument.end, f"ARG of {how}")
    else:
        yield source.found(expanded.value, start + expanded.start, start + expanded.end, how)

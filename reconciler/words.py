"""Writes text for people: text from outside as one harmless line, numbers with nouns, sizes, durations. Pure."""

from __future__ import annotations

from datetime import timedelta

from reconciler.regex import expression

_ODD = "\N{REPLACEMENT CHARACTER}"
_COLOR = expression(r"(\x1b\[[0-9;]*m)")


def plain(text: str) -> str:
    """Makes text from outside one line that no terminal or log reader obeys, and that every encoder accepts."""
    # Nearly all text is printable, and this is called for every line of the output.
    flat = text if text.isprintable() else "".join(map(_harmless, text))
    return defused(flat)


def plain_lines(text: str) -> str:
    """Makes each line of our own text harmless. Tabs stay where they indent it, as in a Caddyfile."""
    return "\n".join(_indented(line) + plain(line.lstrip("\t")) for line in text.split("\n"))


def painted_lines(text: str) -> str:
    """Makes each line of our own text harmless, but keeps colors, and tabs that indent it."""
    return "\n".join(
        _indented(line) + "".join(map(_but_color, _COLOR.split(line.lstrip("\t")))) for line in text.split("\n")
    )


def _indented(line: str) -> str:
    return "\t" * (len(line) - len(line.lstrip("\t")))


def defused(line: str) -> str:
    """Breaks what GitHub's runners take for a command: `::name::` at the start of a line, `##[name]` anywhere."""
    flat = line.replace("##[", "## [")
    return flat.replace("::", ": :", 1) if flat.lstrip().startswith("::") and flat.count("::") > 1 else flat


def count(number: int, one: str, many: str | None = None) -> str:
    """Writes `1 tag`, `2 tags`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def size_words(size: float) -> str:
    """Writes a number of bytes for people, e.g. `3.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def duration_words(duration: timedelta) -> str:
    """Writes a duration as mirrors.yaml has it, e.g. `36h`."""
    seconds = int(duration.total_seconds())
    for unit, length in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % length == 0 and (unit != "w" or seconds // length > 1):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def time_words(seconds: float) -> str:
    """Writes how long something took, e.g. `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:  # From there on it would be rounded to 10.0.
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _harmless(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else _ODD


def _but_color(piece: str) -> str:
    return piece if _COLOR.fullmatch(piece) else plain(piece)

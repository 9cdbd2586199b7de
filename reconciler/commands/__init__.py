"""The commands, a file each: parse, wire, print, exit code. No judgement of their own."""

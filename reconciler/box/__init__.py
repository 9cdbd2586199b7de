"""Boxes: tar files that carry what a target behind an air gap lacks. A box is a source, and no second way to copy."""

"""Runs plan and apply by itself: on a schedule, after an edit, and again after a failure, for any number of files."""

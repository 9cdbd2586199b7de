"""mirrors.yaml as values, or every problem in it with its line and column; what an edit of it means."""

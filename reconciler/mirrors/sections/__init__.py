"""One module for each top-level key of mirrors.yaml: what a schema cannot say of it, and the values that it means."""

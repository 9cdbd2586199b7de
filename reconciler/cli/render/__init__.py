"""Results as text, markdown and JSON. Prints nothing."""

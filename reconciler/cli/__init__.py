"""What people type and see: the commands, their options, progress, and the only module that prints."""

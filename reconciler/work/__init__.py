"""Work side by side: threads, fair shares of them, the end of a run, unforeseen exceptions."""

"""r2mirror beside the tools that people would use instead, on the same data and in one run: `make bench`."""

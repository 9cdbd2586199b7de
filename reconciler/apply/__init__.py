"""Makes a plan so: the order of writes that keeps every tag whole, and the copying of images."""

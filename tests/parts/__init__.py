"""Real servers and clients that the tests run against, and what builds real images for them."""

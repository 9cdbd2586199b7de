"""What a plan takes: pulls, bytes, requests and money."""

"""The terms of the OCI specifications as types: digest, descriptor, manifest, index, referrers, platforms. Pure."""

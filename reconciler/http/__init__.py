"""HTTP and TLS for registries, public buckets and Cloudflare: bounded bodies, retries, proxies, checked redirects."""

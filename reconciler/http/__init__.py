"""HTTP and TLS as registries, stores' edges and Cloudflare need them: bounded, patient, through proxies."""

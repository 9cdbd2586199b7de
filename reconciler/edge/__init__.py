"""Manages the Cloudflare configuration of an R2 bucket: the bucket, its domain, and the zone's rules or a Worker.

    config      the edge section of mirrors.yaml
    rules       the rules that are wanted
    script      the Worker that is wanted
    observed    what Cloudflare has, parsed
    plan        how the two differ
    handover    when a Worker may replace the rules, or the rules a Worker
    make        reads what Cloudflare has, and makes the plan
    apply       applies a plan, and waits for the custom domain
    secrets     the hashes of tokens, as secrets of the Worker
    cloudflare  Cloudflare's API
    language    the language of rules, parsed
    proxies/    the rules as configurations of nginx and Caddy
    worker/     a Cloudflare Worker that answers as a registry does from the same bucket, in JavaScript

The first six, `language` and `proxies` are pure, but for `script`, which reads the Worker's modules; only `cloudflare`
sends requests.
"""

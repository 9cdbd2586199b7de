"""Manages the Cloudflare configuration of an R2 bucket: the bucket, its custom domain, and the zone's rules.

    config      the edge section of mirrors.yaml
    rules       the rules that are wanted
    observed    what Cloudflare has, parsed
    plan        how the two differ
    make        reads what Cloudflare has, and makes the plan
    apply       applies a plan, and waits for the custom domain
    cloudflare  Cloudflare's API
    worker/     a Cloudflare Worker that answers as a registry does from the same bucket, in JavaScript

The first four are pure; only `cloudflare` sends requests.
"""

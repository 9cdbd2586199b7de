"""What stands in front of an R2 bucket, kept at Cloudflare: the bucket itself, its custom domain, the zone's rules.

One direction here too: `rules` says what is wanted, `observed` what there is, `plan` how they differ, `apply` makes it
so through `cloudflare`, the only module of these that asks anybody anything.
"""

"""Pushes to a registry: blobs, manifests, tags and lists of referrers (OCI distribution specification 1.1).

    with opened("registry.example.com", RegistryConfig(), environ) as host:
        at = host.repository("mirror/alpine")
        at.push_blob(layer, lambda: source.blob(layer))
        at.put_manifest(str(root.digest), root.media_type, body)
        at.put_manifest("3.20", root.media_type, body)

    opening      opens a registry, with its logins
    host         one registry for all threads, and what it is known to be able to do
    repository   one repository: what can be asked and changed
    push         uploads a blob
    reading      reads a blob from where it comes, hashed on its way
    referrers    the referrers of a digest, by the API or by the fallback tag
    powers       what a registry can do; `kinds` has a row for each product
    probing      finds out what it can do, and leaves no trace
    ecr          Amazon's own API: logins, repositories, tags
    google       logins at Google's Artifact Registry
    azure        logins at Azure Container Registry
    refusals     turns refusals into errors of a store

An error of the registry is a `StoreError`. One of the place that a blob is read from is passed on as it is.
"""

"""Judges who may pull what from a private mirror. The Worker judges alike, in `edge/worker/access.js`.

    config    the tokens that mirrors.yaml declares, without their secrets
    token     new tokens, and the hash that is kept of each
    bearer    the short-lived tokens that a login is exchanged for
    judge     the answer to a login, and to a request
    failures  how often a login may fail
    listing   which tokens can log in
    file      hashes and the signing key in a file, for `serve --access`

tests/data/access.json has the cases that both have to decide alike.
"""

"""Lists of tags as real repositories have them."""

NGINX = """
latest stable mainline 1 1.26 1.27 1.26.2 1.27.0 1.27.1 1.27.2 1.27.3 1.28.0-rc1 1.27.3-alpine 1.27.2-alpine
1.27.1-alpine 1.27.3-alpine3.20 1.27.3-perl stable-alpine
""".split()  # noqa: SIM905 a list as the registry has it

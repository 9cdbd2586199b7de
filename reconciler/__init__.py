"""r2mirror: keeps a bucket, served as a read-only container registry, in sync with mirrors.yaml."""

__version__ = "0.1.0"

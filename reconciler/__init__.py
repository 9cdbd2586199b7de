"""r2mirror: keeps a bucket that is a read-only container registry in step with mirrors.yaml."""

__version__ = "0.1.0"

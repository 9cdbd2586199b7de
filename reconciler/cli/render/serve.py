"""What `r2mirror serve` announces. Prints nothing."""

from __future__ import annotations

from reconciler.http.hosts import is_loopback


def announcement(name: str, address: str, port: int, image: str | None, *, is_private: bool = False) -> str:
    """Says at which address the store called `name` is served, how to pull `image`, and who can reach it."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 (not bound here)
    where = f"[{reachable}]:{port}" if ":" in reachable else f"{reachable}:{port}"
    lines = [f"serving {name} read-only on http://{where}/ (Ctrl-C stops it)"]
    if is_private:
        lines += [f"  docker login {where}"]
    if image:
        lines += [f"  docker pull {where}/{image}", f"  podman pull --tls-verify=false {where}/{image}"]
    else:
        lines += ["  no images are published yet; run `r2mirror apply`"]
    if is_private and not is_loopback(address):
        lines += [f"note: bound to {address} without TLS: put a proxy with TLS in front of it, or tokens can be read"]
    elif not is_loopback(address):
        lines += [
            f"note: bound to {address}: anyone who can reach it can read everything in the store, without a login"
        ]
    return "\n".join(lines)

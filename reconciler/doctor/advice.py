"""What sets things right, by the kind of store that mirrors.yaml declares. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from reconciler.stores.config import R2, S3, Folder

if TYPE_CHECKING:
    from reconciler.stores.config import StoreConfig


@dataclass(frozen=True)
class Advice:
    """Words for the fixes of one kind of store.

    edge    what decides how answers to clients look
    domain  what connects the public URL, and keeps its certificate
    public  how clients get at the store where there is no public URL yet
    rights  what lets r2mirror read and write
    place   where to look if the store does not answer
    """

    edge: str
    domain: str
    public: str
    rights: str
    place: str


FOR_R2 = Advice(
    edge="let `r2mirror edge apply` set the zone's rules, or set them by hand as docs/edge.md says",
    domain="`r2mirror edge apply` connects the custom domain, and waits until it is active",
    public="add store.public_url to mirrors.yaml, the custom domain at which clients read the bucket",
    rights="give the token *Object Read & Write* for this bucket",
    place="check bucket, account_id and jurisdiction in mirrors.yaml, and the network",
)
FOR_S3 = Advice(
    edge="set it where clients reach the bucket: in the server, or in the proxy in front of it",
    domain="check the host's DNS record and certificate, and that it leads to this bucket",
    public="add store.public_url to mirrors.yaml, the URL at which clients read the bucket without credentials",
    rights="give these credentials read, write, list and delete for this bucket",
    place="check bucket, region and endpoint_url in mirrors.yaml, and the network",
)
FOR_FOLDER = Advice(
    edge="let `r2mirror serve` answer for the folder, or set it in the web server in front of it",
    domain="check the host's DNS record and certificate, and that it leads to this folder",
    public="run `r2mirror serve`, and add its URL to mirrors.yaml as store.public_url",
    rights="let the user that runs r2mirror read and write the folder",
    place="check store.path in mirrors.yaml",
)


def advice_for(store: StoreConfig) -> Advice:
    """Chooses the words for a store."""
    match store:
        case R2():
            return FOR_R2
        case S3():
            return FOR_S3
        case Folder():
            return FOR_FOLDER
        case _:
            assert_never(store)

"""Logs in at Azure Container Registry with a token of Microsoft Entra, which the registry exchanges for one of its own.

Entra's token is that of azure-identity's `DefaultAzureCredential`: the environment, a workload or managed identity, or
the login of `az`. The exchange is that of github.com/Azure/acr, docs/AAD-OAuth.md.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from reconciler.errors import ExtraMissing, LoginRefused, Malformed
from reconciler.frozen import Frozen
from reconciler.http.answers import answered, refusal
from reconciler.http.bodies import read_bounded, read_start
from reconciler.http.client import open_client
from reconciler.http.faults import NOT_ANSWERED, fault_words
from reconciler.oci.spec import load_json
from reconciler.registry.fetched import used_until
from reconciler.sources.credentials import Credentials


class AzureCloud(Frozen):
    """One of Azure's clouds.

    audience   what a token of Entra has to be for, so that a registry there exchanges it
    authority  the host that gives out tokens; empty: the library's default
    """

    audience: str
    authority: str = ""


CLOUDS = {
    "azurecr.io": AzureCloud("https://containerregistry.azure.net"),
    "azurecr.us": AzureCloud("https://management.usgovcloudapi.net", "login.microsoftonline.us"),
    "azurecr.cn": AzureCloud("https://management.chinacloudapi.cn", "login.chinacloudapi.cn"),
}
"""The clouds by how the hosts of their registries end. The last two take tokens for their resource managers."""

USER = "00000000-0000-0000-0000-000000000000"
LIFETIME = 3 * 3600.0
"""Seconds that the registry's refresh token lives."""

MAX_ANSWER = 64 * 1024


def azure_login(host: str, entra: Callable[[str], str] | None = None, url: str = "") -> Credentials:
    """Fetches a login. Raises `LoginRefused`, `BadAnswer`, and `ExtraMissing` without Azure's library.

    entra  returns a token of Entra's for the registry; None: `DefaultAzureCredential`
    url    of the registry, if it is not https at the host
    """
    token = (entra or _entra)(host)
    form = urlencode({"grant_type": "access_token", "service": host, "access_token": token})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        with (
            open_client() as client,
            client.stream(
                "POST", f"{url or f'https://{host}'}/oauth2/exchange", content=form, headers=headers
            ) as answer,
        ):
            if answer.status_code != 200:
                read_start(answer)
                said = answered(host, answer.status_code, refusal(answer))
                raise LoginRefused(
                    host, f"{said}; it took no token of Entra's: give this identity AcrPush and AcrDelete"
                )
            body = read_bounded(answer, MAX_ANSWER, host)
    except NOT_ANSWERED as error:
        raise LoginRefused(host, f"the login was not exchanged: {fault_words(error)}") from None
    return _credentials(host, body)


def _credentials(host: str, body: bytes) -> Credentials:
    document: object = None
    with contextlib.suppress(Malformed):
        document = load_json(body, host)
    match document:
        case {"refresh_token": str(token)} if token:
            where = "Entra's token, exchanged by the registry"
            return Credentials(USER, identity_token=token, where=where, until=used_until(LIFETIME))
        case _:
            raise LoginRefused(host, "its /oauth2/exchange answered without a refresh_token")


def _entra(host: str) -> str:
    cloud = next((cloud for end, cloud in CLOUDS.items() if host.endswith(f".{end}")), CLOUDS["azurecr.io"])
    try:
        from azure.core.exceptions import AzureError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise ExtraMissing(f"{host}: docker and podman have no login for it; one by Entra's token", "azure") from None
    try:
        with DefaultAzureCredential(**_authority(cloud)) as credential:
            return credential.get_token(f"{cloud.audience}/.default").token
    except (AzureError, ValueError) as error:
        why = str(error).partition("\n")[0][:200]
        raise LoginRefused(
            host, f"there is no login for it, and Entra gives no token: {why}; run `az login`, or `az acr login`"
        ) from None


def _authority(cloud: AzureCloud) -> Mapping[str, str]:
    # What the environment names, e.g. that of a workload identity, is more specific.
    return {} if not cloud.authority or "AZURE_AUTHORITY_HOST" in os.environ else {"authority": cloud.authority}

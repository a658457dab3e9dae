"""Keeps other web sites away from a server that runs on the user's own machine.

A page of another site may send requests to 127.0.0.1 through the user's browser, and with a name of
its own that leads there (DNS rebinding) could read the answers. So the Host header has to be one of
ours, and what the browser says of a request's origin has to be this page.
"""

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SAFE_METHODS = ("GET", "HEAD")


class Guard:
    """Middleware that refuses requests of other sites and sets headers for the browser.

    host: that the server is bound to; names other than it and this machine's are refused.
    """

    def __init__(self, app: ASGIApp, host: str):
        self._app, self._host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        reason = refusal(scope["method"], Headers(scope=scope), self._host)
        app = self._app if reason is None else JSONResponse({"error": reason}, 403)
        await app(scope, receive, send_guarded)


def refusal(method: str, headers: Mapping[str, str], host: str) -> str | None:
    """Why a request to a server bound to `host` is refused; None if it is not."""
    asked = headers.get("host", "")
    if not is_ours(_name_of(asked), host):
        return f"the host {asked!r} is not this server; open it by the address that it printed"
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != asked.lower():
        return "the request comes from another site"
    site = headers.get("sec-fetch-site", "none")
    navigates = method in SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("none", "same-origin") and not navigates:
        return "the request comes from another site"
    return None


def is_ours(name: str, host: str) -> bool:
    """Whether the name in a Host header may mean a server bound to `host`.

    Bound to this machine alone, only its loopback names do. Else any address in digits does, for
    no site can take one, and this machine's name.
    """
    address = _address(name)
    if is_loopback(host):
        return name == "localhost" or (address is not None and address.is_loopback)
    machine = socket.gethostname().lower()
    return address is not None or name in ("localhost", host.lower(), machine, f"{machine}.local")


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reached from this machine only."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _name_of(authority: str) -> str:
    try:
        return (urlsplit(f"//{authority}").hostname or "").lower()
    except ValueError:
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None

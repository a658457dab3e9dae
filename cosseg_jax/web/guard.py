"""Keeps other web sites away from a server that runs on the user's own machine.

A page of another site can send requests to 127.0.0.1 through the user's browser, and with a host
name that leads there (DNS rebinding) it could read the answers. So the Host header must name this
server, and the origin that the browser states must be this page.
"""

import ipaddress
import socket
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cosseg_jax.errors import UserError

SECURITY_HEADERS = {
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
OTHER_SITE = "the request comes from another site"


class Guard:
    """Middleware that refuses requests of other sites and sets headers for the browser.

    host: the address that the server is bound to.
    allowed: further host names of the page, of `checked_host_name`, for example behind a proxy.
    """

    def __init__(self, app: ASGIApp, host: str, allowed: Collection[str] = ()):
        self._app, self._host, self._allowed = app, host, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        reason = refusal(scope["method"], Headers(scope=scope), self._host, self._allowed)
        app = self._app if reason is None else JSONResponse({"error": reason}, 403)
        await app(scope, receive, send_guarded)


def refusal(
    method: str, headers: Mapping[str, str], host: str, allowed: Collection[str] = ()
) -> str | None:
    """Why a request to a server bound to `host` is refused; None if it is served.

    allowed: further host names of the server, in lower case.
    """
    asked = headers.get("host", "")
    name = _host_name(f"//{asked}")
    if name not in allowed and not is_own_name(name, host):
        return (
            f"the host {asked[:100]!r} is not this server; open the address that it printed, or "
            "start it with --allow-host NAME"
        )
    origin = headers.get("origin")
    if origin is not None and not _same_origin(origin, asked, allowed):
        return OTHER_SITE
    site = headers.get("sec-fetch-site", "none")
    navigates = method in SAFE_METHODS and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("none", "same-origin") and not navigates:
        return OTHER_SITE
    return None


def is_own_name(name: str, host: str) -> bool:
    """Whether the name in a Host header may mean a server bound to `host`.

    A server that is bound to this machine alone has only the loopback names. Any other server has
    its own name and every numeric address, because no web site can take one as its host name.
    """
    address = _numeric_address(name)
    if is_loopback(host):
        return name == "localhost" or (address is not None and address.is_loopback)
    machine = socket.gethostname().lower()
    return address is not None or name in ("localhost", host.lower(), machine, f"{machine}.local")


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` is reached from this machine only."""
    address = _numeric_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def checked_host_name(name: str) -> str:
    """A host name in lower case. Raises UserError unless it is one, without scheme and port."""
    if not name or _host_name(f"//{name}") != name.lower():
        raise UserError(
            f"--allow-host takes a host name such as photos.example.org, without http:// and "
            f"port; found {name!r}"
        )
    return name.lower()


def _same_origin(origin: str, asked: str, allowed: Collection[str]) -> bool:
    """Whether an Origin header is this page's: the host asked for, or an allowed name.

    A proxy may replace the Host header by an address of its own, but not the Origin.
    """
    try:
        authority = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return authority == asked.lower() or _host_name(origin) in allowed


def _host_name(url: str) -> str:
    """The lower-case host name in a URL; empty if there is none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def _numeric_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None

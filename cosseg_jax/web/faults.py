"""Internal faults: an id for the user, the traceback with the same id for the log."""

import logging
import secrets

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("cosseg_jax.web")


class FaultBarrier:
    """Middleware that answers a fault with status 500 and its id, and logs its traceback."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noting_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_noting_start)
        except Exception as error:
            if scope["type"] != "http":
                raise
            message = logged_fault(error)
            if not started:
                await JSONResponse({"error": message}, 500)(scope, receive, send)


def logged_fault(error: BaseException) -> str:
    """Logs a fault's traceback under a new id; the message for the user, which names the id."""
    id = secrets.token_hex(4)
    log.error("internal error %s", id, exc_info=error)
    return f"Internal error {id}. The server's log has the details under this number."

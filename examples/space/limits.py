"""What the server answers: short requests of the page itself; other paths do not exist, and others may not ask."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse


MOST_BYTES = 200_000
# What the page of gradio asks for. Everything else that gradio serves is closed: a description of the API, calls by
# programs, uploads, files of the machine, requests to other machines, monitoring.
PAGE = re.compile(
    r"/?|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/(assets|static|svelte)/.*"
    r"|/gradio_api/(startup-events|theme\.css|heartbeat/\w+|queue/join|queue/data|cancel|reset/?)"
)
# What programs ask for besides.
API = re.compile(r"/gradio_api/(info/?|openapi\.json|(call|run|api)/.*)")
# Names of this machine, under which a page that is served to it alone is opened. Another name is somebody else's
# that was made to lead here.
OWN_NAMES = {"127.0.0.1", "localhost", "::1"}
MORE_NAMES = "CAREER_HOSTS"


class Door:
    """An ASGI middleware in front of gradio.

    Args:
        app: The application behind it.
        api: Whether programs may ask, too.
    """

    def __init__(self, app: Any, api: bool = False) -> None:
        self.app = app
        self.paths = [PAGE, API] if api else [PAGE]
        self.names = OWN_NAMES | set(filter(None, os.environ.get(MORE_NAMES, "").split(",")))

    @classmethod
    def middleware(cls, api: bool) -> Middleware:
        """For the `middleware` argument of FastAPI."""
        return Middleware(cls, api=api)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        refused = self._refusal(scope)
        if refused is not None:
            await refused(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
        else:
            await self._with_body(scope, receive, send)

    def _refusal(self, scope: Any) -> PlainTextResponse | None:
        """The answer to a request that goes no further."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        address = scope["server"][0] if scope.get("server") else ""
        if address in OWN_NAMES and urlsplit(f"//{host}").hostname not in self.names:
            return PlainTextResponse("This page has another name.", status_code=421)
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if foreign or headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET":
            return PlainTextResponse("Only this page may ask.", status_code=403)
        if not any(paths.fullmatch(scope["path"]) for paths in self.paths):
            return PlainTextResponse("There is nothing here.", status_code=404)
        return None

    async def _with_body(self, scope: Any, receive: Any, send: Any) -> None:
        """Reads the body, and hands it on as one message if it is short."""
        body, going_on = b"", True
        while going_on:
            message = await receive()
            body += message.get("body", b"")
            going_on = message.get("more_body", False)
            if len(body) > MOST_BYTES:
                refused = PlainTextResponse(f"A request has at most {MOST_BYTES} bytes.", status_code=413)
                return await refused(scope, receive, send)
        read = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return read.pop() if read else await receive()

        await self.app(scope, again, send)

"""Requests that are larger than any career, and uploads, are refused before gradio reads them."""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse


MOST_BYTES = 200_000


class BodyLimit:
    """An ASGI middleware: what is sent is short, however it is sent, and there is nowhere to upload files to."""

    def __init__(self, app: Any) -> None:
        self.app = app

    @classmethod
    def middleware(cls) -> Middleware:
        """For the `middleware` argument of FastAPI."""
        return Middleware(cls)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
        elif scope["path"].rstrip("/").endswith("/upload"):
            await PlainTextResponse("This page takes no files.", status_code=404)(scope, receive, send)
        else:
            await self._with_body(scope, receive, send)

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

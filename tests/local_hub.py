"""A Hub on this machine, for tests: enough of its HTTP API to make a repository, commit to it and download from it.

Requests come from huggingface_hub's own client. Repositories are kept in memory as commits; a commit that is not sent
completely does not exist. `fail_at` makes the server break: "drop" cuts the connection in the middle of a large file,
"commit" answers the commit with a server error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class LocalHub(ThreadingHTTPServer):
    """A server; `repos` are lists of commits, from file name to content."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, list[dict[str, bytes]]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.fail_at: str | None = None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    hub = LocalHub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def commit_oid(number: int) -> str:
    return f"{number:040x}"


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalHub

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        path, body = self._path(), self.rfile.read(int(self.headers["Content-Length"]))
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            known = repo in self.server.repos
            self.server.repos.setdefault(repo, [{".gitattributes": b"*.safetensors filter=lfs\n"}])
            self.server.private.setdefault(repo, asked.get("visibility") == "private" or bool(asked.get("private")))
            self._json({"url": f"{self.server.url}/{repo}"}, 409 if known else 200)
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            there = self.server.repos[_repo(path)][-1]
            self._json({"files": [_mode(file["path"], there) for file in json.loads(body)["files"]]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = [self._upload_action(entry) for entry in json.loads(body)["objects"]]
            self._json({"transfer": "basic", "objects": objects})
        elif "/commit/" in path:
            self._commit(_repo(path), [json.loads(line) for line in body.splitlines()])
        else:
            self._json({"error": f"no such address: {path}"}, 404)

    def do_PUT(self) -> None:
        size, oid = int(self.headers["Content-Length"]), self._path().rpartition("/")[2]
        if self.server.fail_at == "drop":
            self.rfile.read(size // 2)
            self.connection.close()
            self.close_connection = True
            return
        content = self.rfile.read(size)
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.large[oid] = content
        self._json({})

    def do_GET(self) -> None:
        path = self._path()
        if "/resolve/" in path:
            repo, _, rest = path[1:].partition("/resolve/")
            self._file(repo, rest.partition("/")[2])
        elif "/tree/" in path:
            commits = self.server.repos[_repo(path)]
            self._json([_entry(name, content) for name, content in commits[-1].items()])
        elif path.startswith("/api/models/"):
            repo = _repo(path)
            if repo not in self.server.repos:
                self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
                return
            commits = self.server.repos[repo]
            siblings = [{"rfilename": name} for name in commits[-1]]
            self._json(
                {"id": repo, "sha": commit_oid(len(commits) - 1), "private": False, "siblings": siblings, "tags": []}
            )
        else:
            self._json({"error": f"no such address: {path}"}, 404)

    do_HEAD = do_GET

    def _path(self) -> str:
        path = unquote(urlsplit(self.path).path)
        with self.server.lock:
            self.server.requests.append(f"{self.command} {path}")
        return path

    def _json(self, answer: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(json.dumps(answer).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _upload_action(self, entry: dict) -> dict:
        href = f"{self.server.url}/large/{entry['oid']}"
        return entry if entry["oid"] in self.server.large else {**entry, "actions": {"upload": {"href": href}}}

    def _commit(self, repo: str, lines: list[dict]) -> None:
        if self.server.fail_at == "commit":
            self._json({"error": "Internal error"}, 500)
            return
        files = dict(self.server.repos[repo][-1])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        self.server.repos[repo].append(files)
        oid = commit_oid(len(self.server.repos[repo]) - 1)
        self._json({"commitUrl": f"{self.server.url}/{repo}/commit/{oid}", "commitOid": oid, "success": True})

    def _file(self, repo: str, name: str) -> None:
        commits = self.server.repos.get(repo)
        head = {"X-Repo-Commit": commit_oid(len(commits or [0]) - 1)}
        if commits is None or name not in commits[-1]:
            code = "RepoNotFound" if commits is None else "EntryNotFound"
            self._json({"error": code}, 404, {**head, "X-Error-Code": code})
            return
        content = commits[-1][name]
        self._send(content, 200, {**head, "ETag": f'"{git_oid(content)}"', "Content-Type": "application/octet-stream"})


def _repo(path: str) -> str:
    """The repository in /api/models/USER/NAME/..."""
    return "/".join(path.split("/")[3:5])


def _mode(name: str, there: dict[str, bytes]) -> dict:
    large = name.endswith(".safetensors")
    known = {"oid": git_oid(there[name])} if name in there and not large else {}
    if name in there and large:
        known = {"oid": hashlib.sha256(there[name]).hexdigest()}
    return {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, **known}


def _entry(name: str, content: bytes) -> dict:
    return {"type": "file", "path": name, "size": len(content), "oid": git_oid(content)}

# SPDX-License-Identifier: Apache-2.0
"""A server on this machine alone that speaks both HTTP dialects of language models, and says what a test wants.

    with Model(answer) as m:
        m.url("openai"), m.url("anthropic")     # base addresses for the resolvers
        m.calls                                 # what it was asked: {dialect, model, system, user, headers, n}

`answer(call)` returns what becomes of a call (n counts from 1):
    a dict              the model says this object
    a str               the model says these words (prose, fences …)
    Status(code, ...)   the server answers with this status
    Raw(bytes)          the server's whole answer
    HANG                nothing comes until the client goes away
"""
import http.server
import json
import select
import threading

HANG = object()


class Status:
    def __init__(self, code, message="", **headers):
        self.code, self.message, self.headers = code, message, headers


class Raw:
    def __init__(self, data, chunks=1):
        self.data, self.chunks = data, chunks


def openai(said):
    return {"id": "x", "choices": [{"index": 0, "finish_reason": "stop",
                                    "message": {"role": "assistant", "content": said}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 23, "total_tokens": 123}}


def anthropic(said):
    return {"type": "message", "role": "assistant", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": said}], "usage": {"input_tokens": 100, "output_tokens": 23}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def read_call(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/chat/completions"):
            system, user = (m["content"] for m in body["messages"])
            dialect = "openai"
        elif self.path.endswith("/v1/messages"):
            system, user, dialect = body["system"], body["messages"][0]["content"], "anthropic"
        else:
            return None
        return {"dialect": dialect, "model": body["model"], "system": system, "user": user,
                "headers": {k.lower(): v for k, v in self.headers.items()}, "path": self.path}

    def put(self, code, data, headers=(), chunks=1):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) * chunks))
        self.end_headers()
        try:
            for _ in range(chunks):
                self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def do_POST(self):
        model, call = self.server.model, self.read_call()
        if call is None:
            self.put(404, b'{"error": {"message": "no such address"}}')
            return
        with model.lock:
            model.calls.append(call)
            call["n"] = len(model.calls)
        said = model.answer(call)
        if said is HANG:
            select.select([self.connection, model.stopped_r], [], [])
            self.close_connection = True
        elif isinstance(said, Status):
            self.put(said.code, json.dumps({"error": {"message": said.message}}).encode(), said.headers.items())
        elif isinstance(said, Raw):
            self.put(200, said.data, chunks=said.chunks)
        else:
            said = said if isinstance(said, str) else json.dumps(said)
            self.put(200, json.dumps((openai if call["dialect"] == "openai" else anthropic)(said)).encode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        pass


class Model:
    def __init__(self, answer):
        import socket
        self.answer, self.calls, self.lock = answer, [], threading.Lock()
        self.stopped_r, self.stopped_w = socket.socketpair()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.model = self

    def url(self, dialect):
        return f"http://127.0.0.1:{self.server.server_address[1]}" + ("/v1" if dialect == "openai" else "")

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.stopped_w.close()
        self.server.shutdown()
        self.server.server_close()
        self.stopped_r.close()

# SPDX-License-Identifier: Apache-2.0
"""A varlink server with canned answers: one thread, any number of connections after each other.

answers maps a method ("List") to
  a dict                    the reply's parameters
  ("error", ID, dict)       an error reply
  ("raw", bytes)            these bytes, then the connection is closed
  a list of dicts           replies to `more`, the last one without `continues`
  a callable(params)        returns any of these
Every request is kept in .requests as (method, parameters, more).
"""
import json
import os
import socket
import threading


class Server:
    def __init__(self, path, answers):
        self.path, self.answers, self.requests = path, dict(answers), []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        # A thread that sleeps in accept() does not notice close() alone.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        os.unlink(self.path)

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with conn:
                try:
                    self.serve(conn)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client has left, as `audit -f | head` does

    def serve(self, conn):
        data = b""
        while True:
            while b"\0" not in data:
                piece = conn.recv(65536)
                if not piece:
                    return
                data += piece
            message, data = data.split(b"\0", 1)
            call = json.loads(message)
            if not self.answer(conn, call):
                return

    def answer(self, conn, call):
        method = call["method"].removeprefix("org.agentfs.")
        params = call.get("parameters") or {}
        self.requests.append((method, params, call.get("more", False)))
        canned = self.answers.get(method)
        if callable(canned):
            canned = canned(params)
        if canned is None:
            canned = ("error", "org.varlink.service.MethodNotFound", {"method": call["method"]})
        if isinstance(canned, list):
            for i, part in enumerate(canned):
                self.send(conn, {"parameters": part, "continues": i + 1 < len(canned)})
        elif isinstance(canned, dict):
            self.send(conn, {"parameters": canned})
        elif canned[0] == "raw":
            conn.sendall(canned[1])
            return False
        else:
            self.send(conn, {"error": canned[1], "parameters": canned[2]})
        return True

    @staticmethod
    def send(conn, message):
        conn.sendall(json.dumps(message).encode() + b"\0")

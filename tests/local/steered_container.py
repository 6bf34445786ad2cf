"""A container that misbehaves on demand: an HTTP server with `/ping`, `/execution-parameters` and `/invocations`.

Environment: TRANSFORM_PORT; EXIT_CODE (end at once); PING_STATUS; PING_DELAY (seconds); PARAMETERS (the JSON of
/execution-parameters, else 404); CHILD (start a child that ignores SIGTERM); STUBBORN (ignore SIGTERM itself); RECORD (a
folder that gets every payload).

A payload's first line says what to do with it, the answer is the payload in upper case unless it says otherwise:
    status CODE         always answer CODE
    fail N              answer 503 N times, then well
    hang                never answer
    wait PATH           answer once the file exists
    drop                close the connection
    die                 end the process with code 9
    meet N              answer when N payloads are here at the same time (500 after 10 s)
    most                answer how many payloads were here at once so far
    env, headers        answer the environment, the request's headers (JSON)
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

lock = threading.Lock()
tries: Counter[bytes] = Counter()
meetings: dict[int, threading.Barrier] = {}
in_flight = {"now": 0, "most": 0}
never = threading.Event()


def fail(payload: bytes, times: str) -> tuple[int, bytes]:
    with lock:
        tries[payload] += 1
        return (503, b"") if tries[payload] <= int(times) else (200, payload.upper())


def wait(payload: bytes, path: str) -> tuple[int, bytes]:
    while not Path(path).exists():  # steered by a file, since it is another process
        never.wait(0.01)
    return 200, payload.upper()


def die(_payload: bytes) -> tuple[int, bytes]:
    os._exit(9)


def hang(_payload: bytes) -> tuple[int, bytes]:
    never.wait()
    return 200, b""


def meet(payload: bytes, parties: str) -> tuple[int, bytes]:
    with lock:
        barrier = meetings.setdefault(int(parties), threading.Barrier(int(parties)))
    try:
        barrier.wait(timeout=10)
    except threading.BrokenBarrierError:
        return 500, b""
    return 200, payload.upper()


def answer_most(_payload: bytes) -> tuple[int, bytes]:
    time.sleep(0.02)  # so that payloads sent at the same time do meet
    return 200, str(in_flight["most"]).encode()


ACTS: dict[str, Callable[..., tuple[int, bytes]]] = {
    "status": lambda _payload, code: (int(code), b"no"),
    "fail": fail,
    "hang": hang,
    "wait": wait,
    "die": die,
    "meet": meet,
    "most": answer_most,
    "env": lambda _payload: (200, json.dumps(dict(os.environ)).encode()),
}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """No access log."""

    def do_GET(self) -> None:
        if self.path == "/ping":
            time.sleep(float(os.environ.get("PING_DELAY", "0")))
            self.reply(int(os.environ.get("PING_STATUS", "200")), b"")
        elif self.path == "/execution-parameters" and "PARAMETERS" in os.environ:
            self.reply(200, os.environ["PARAMETERS"].encode())
        else:
            self.reply(404, b"")

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers["Content-Length"]))
        if folder := os.environ.get("RECORD"):
            Path(folder, f"{time.monotonic_ns()}").write_bytes(payload)
        act, *words = payload.partition(b"\n")[0].decode().split() or ["ok"]
        with lock:
            in_flight["now"] += 1
            in_flight["most"] = max(in_flight.values())
        try:
            if act == "drop":
                self.close_connection = True
                return
            if act == "headers":
                self.reply(200, json.dumps(dict(self.headers)).encode())
                return
            self.reply(*ACTS[act](payload, *words) if act in ACTS else (200, payload.upper()))
        finally:
            with lock:
                in_flight["now"] -= 1

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    if code := os.environ.get("EXIT_CODE"):
        raise SystemExit(int(code))
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "STUBBORN" in os.environ else lambda *_: os._exit(0))
    if "CHILD" in os.environ:
        stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()"
        child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
        assert child.stdout
        child.stdout.readline()
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["TRANSFORM_PORT"])), Handler).serve_forever()


if __name__ == "__main__":
    main()

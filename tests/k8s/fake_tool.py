"""A kubectl, minikube or docker that writes down what it is asked, and answers what a test has laid ready.

It knows one thing by itself: a port-forward listens, and answers every request with the name of its pod.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any


def main(tool: str, words: list[str], folder: Path) -> int:
    asked = " ".join([tool, *words])
    answer = _answer(asked, folder)
    given = sys.stdin.read() if "-f -" in asked else ""
    engine = os.environ.get("DOCKER_HOST")
    log = folder / "asked.jsonl"
    with log.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"asked": asked, "given": given, "engine": engine, "pid": os.getpid()}) + "\n")
    if "port-forward" in words:
        return _forward(folder, next(word for word in words if word.startswith("pod/")).removeprefix("pod/"))
    time.sleep(answer.get("seconds", 0))
    sys.stdout.write(log.read_text(encoding="utf-8") if answer.get("repeat") else answer.get("output", ""))
    sys.stderr.write(answer.get("errors", ""))
    return int(answer.get("status", 0))


def _answer(asked: str, folder: Path) -> dict[str, Any]:
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    return next((answer for part, answer in answers.items() if part in asked), {})


def _forward(folder: Path, pod: str) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        port = listener.getsockname()[1]
        sys.stdout.write(f"Forwarding from 127.0.0.1:{port} -> 5000\n")
        sys.stdout.flush()
        deadline = time.monotonic() + 60
        while not (folder / f"gone-{pod}").exists() and time.monotonic() < deadline:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.recv(4096)
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(pod)}\r\nConnection: close\r\n\r\n"
                connection.sendall((head + pod).encode())
    sys.stderr.write("error: lost connection to pod\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[0]).name, sys.argv[1:], Path(sys.argv[0]).parent.parent))

"""A supervisor as docs/wire.md has it, for the contract suites: ``MANIFEST``. Prints a line when up."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESTART_AFTER_S = 0.2


def start_time_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


class Supervisor:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = json.loads(path.read_text())
        self.nodes = {node["name"]: node for node in self.manifest["nodes"]}
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.ended: dict[str, float] = {}

    def start(self, name: str) -> None:
        node = self.nodes[name]
        child = subprocess.Popen(
            node["command"],
            cwd=node["cwd"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.children[name] = child
        node.update(pid=child.pid, start_time=start_time_of(child.pid), started=time.time(), held=False)
        self.write()

    def write(self) -> None:
        new = self.path.with_suffix(".supervisor")
        new.write_text(json.dumps(self.manifest))
        new.replace(self.path)

    def look(self) -> None:
        for name, child in list(self.children.items()):
            if child.poll() is None:
                continue
            since = self.ended.setdefault(name, time.monotonic())
            if not self.nodes[name]["held"] and time.monotonic() - since > RESTART_AFTER_S:
                del self.ended[name]
                self.start(name)

    def answer(self, line: bytes) -> dict[str, Any]:
        request = json.loads(line)
        node = self.nodes.get(request.get("node"))
        if request["token"] != self.manifest["token"] or node is None:
            return {"ok": False, "error": "wrong token or no such node"}
        node["held"] = request["do"] == "hold"
        if request["do"] == "start" and self.children[node["name"]].poll() is not None:
            self.ended.pop(node["name"], None)
            self.start(node["name"])
        self.write()
        return {"ok": True, "name": node["name"]}

    def run(self) -> None:
        host, _, port = self.manifest["supervisor"]["control"].rpartition(":")
        control = socket.create_server((host, int(port)))
        control.settimeout(0.02)
        self.manifest["supervisor"].update(pid=os.getpid(), start_time=start_time_of(os.getpid()))
        for name in self.nodes:
            self.start(name)
        print("up", flush=True)
        while True:
            self.look()
            try:
                connection, _ = control.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1.0)
                connection.sendall(json.dumps(self.answer(connection.makefile("rb").readline())).encode() + b"\n")


Supervisor(Path(sys.argv[1])).run()

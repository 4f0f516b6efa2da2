"""A Redis of the tests' own, on a Unix socket: no other process can take its place meanwhile."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.requirements import missing

STOPPED_WITHIN = 10.0  # seconds
END = "the end of what is watched"


class RedisServer:
    """A Redis that keeps nothing when it is stopped."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            missing("redis", "there is no redis-server")
        if find_spec("channels_redis") is None:
            missing("redis", "channels_redis is not installed")
        self._socket = folder / "redis"
        where = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(folder)]
        self._command = [program, *where, "--save", "", "--appendonly", "no"]
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        log = ""
        for line in self._process.stdout:
            log += line
            if "accept connections" in line:
                break
        else:
            self.stop()
            raise AssertionError(f"redis-server did not start:\n{log}")
        from redis import Redis  # an extra of the package, which may be missing

        self.client = Redis(unix_socket_path=str(self._socket), decode_responses=True)

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """Give the commands that it executes meanwhile, "lua " before those of scripts."""
        commands: list[str] = []

        def listen() -> None:
            for each in monitor.listen():
                if each["command"] == f"ECHO {END}":
                    return
                commands.append(("lua " if each["client_type"] == "lua" else "") + each["command"])

        with self.client.monitor() as monitor:
            listener = threading.Thread(target=listen)
            listener.start()
            try:
                yield commands
            finally:
                self.client.echo(END)
                listener.join()

    def stop(self) -> None:
        """Stop it, and wait for that."""
        if hasattr(self, "client"):
            self.client.close()
        self._process.terminate()
        try:
            self._process.communicate(timeout=STOPPED_WITHIN)
        finally:
            self._process.kill()
            self._process.wait()

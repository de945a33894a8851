"""Who holds a lease: a process, told apart from every other that ever had its number.

A lease of a process on this host is void as soon as the process is gone; a restart after a crash
waits for nothing. For other hosts only the lease's own expiry tells.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process that may hold leases.

    Attributes:
        host: Host name, the process-number space within it (containers have their own), and the
            machine, where it tells: two machines may have one name.
        boot: Identity of the host's present run; a new one after every restart of the host.
        pid: Process number.
        started: The process's start time in the system's own unit; numbers are used again.
    """

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Owner:
        """The owner that this process is."""
        return _owner_of(os.getpid())

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The owner that ``str(owner)`` wrote."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @property
    def host_name(self) -> str:
        """The host as people call it."""
        return self.host.partition("pid:")[0]

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to be gone; False also where that cannot be told."""
        if self.host != _host():
            return False
        if self.boot != _boot():
            # This host before it was restarted, unless another machine has the same name.
            return bool(_machine())
        return start_time(self.pid) != self.started


@cache
def _owner_of(pid: int) -> Owner:
    started = start_time(pid)
    if started is None:
        raise RuntimeError(f"the start time of the running process {pid} cannot be read")
    return Owner(_host(), _boot(), pid, started)


@cache
def _host() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path but "pid:[4026]"
    except OSError:
        namespace = ""
    return socket.gethostname() + namespace + _machine()


@cache
def _machine() -> str:
    """What tells this machine from others, hashed because it is nobody else's business."""
    try:
        identity = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"tunelab" + identity).hexdigest()[:12] if identity else ""


@cache
def _boot() -> str:
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    if boot_id.exists():
        return boot_id.read_text().strip()
    if sys.platform == "darwin":
        return _output_of("sysctl", "-n", "kern.boottime") or ""
    return ""


def start_time(pid: int) -> str | None:
    """When process ``pid`` was started; None if there is no such process."""
    if sys.platform == "win32":
        # Without a way to look into another process, only this one is known to be alive, and
        # others count as alive until their lease expires.
        return str(pid)
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        # The second field is the command in parentheses and may hold spaces and parentheses.
        state, *fields = stat.rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    return _output_of("ps", "-o", "lstart=", "-p", str(pid))


def _output_of(*command: str) -> str | None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() or None

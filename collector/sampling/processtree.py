"""The processes of one server on this host: whoever listens on its TCP port, and their children.

Looking for a listener reads the file descriptors of every process (50 ms on a busy host), looking for children the
state of every process (20 ms): so the first is done only once something listens there, the second every few seconds.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

SEARCH_INTERVAL_S = 0.9  # every round of a sampler at 1 s: requests before an engine is found have no joules
TREE_INTERVAL_S = 5.0
LISTENING = "0A"  # state of a socket in /proc/net/tcp (linux/include/net/tcp_states.h)
SOCKET_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


class ProcessTree:
    """The listeners on ``port`` and their descendants, found again when the listeners are gone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._roots: list[psutil.Process] = []
        self._members: set[psutil.Process] = set()
        self._searched_s = self._listed_s = float("-inf")

    def members(self) -> tuple[set[psutil.Process], bool]:
        """The processes that run now, and whether they are of a tree that was known at the last call."""
        self._roots = [root for root in self._roots if runs(root)]
        is_known = bool(self._roots)
        if not is_known:
            self._roots = self._search()
        now_s = time.monotonic()
        if not is_known or now_s - self._listed_s >= TREE_INTERVAL_S:
            self._members, self._listed_s = set(_with_children(self._roots)), now_s
        self._members = {member for member in self._members if runs(member)}
        return self._members, is_known

    def _search(self) -> list[psutil.Process]:
        now_s = time.monotonic()
        if now_s - self._searched_s < SEARCH_INTERVAL_S:
            return []
        self._searched_s = now_s
        return list(_listeners(self._port)) if _is_listened_on(self._port) else []


def runs(process: psutil.Process) -> bool:
    """Whether ``process`` is alive and not a zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _is_listened_on(port: int) -> bool:
    """Whether any process listens on ``port``; where the kernel shows no table, it may be."""
    tables = [table for table in SOCKET_TABLES if table.exists()]
    wanted = f":{port:04X}"
    for table in tables:
        for line in table.read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTENING and columns[1].endswith(wanted):
                return True
    return not tables


def _listeners(port: int) -> Iterator[psutil.Process]:
    """Processes that listen on ``port``; an ordinary user sees only their own."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return
    pids = {
        connection.pid
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid
    }
    for pid in pids:
        try:
            yield psutil.Process(pid)
        except psutil.Error:
            continue


def _with_children(roots: list[psutil.Process]) -> Iterator[psutil.Process]:
    for root in roots:
        yield root
        try:
            yield from root.children(recursive=True)
        except psutil.Error:
            continue

"""Where a daemon listens, and how one is found: unix sockets of this user.

* By default in the abstract namespace, `@dora-<uid>/<name>`, without a file behind it, so that a
  daemon killed by SIGKILL leaves nothing to clean up; the kernel's own table (`/proc/net/unix`)
  tells which ones live.
* Where `DORA_RUNTIME_DIR` names a folder, in that folder too, `<folder>/<name>`, for programs of
  another network namespace, such as containers that share it. A socket file that a killed daemon
  left is removed by whoever finds nobody listening. Only dataflows of this folder are seen then.

A name is a dataflow's id, or that of a background daemon. An abstract name has no file mode, so
both sides check the other's uid (SO_PEERCRED).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import struct
from pathlib import Path

from dora.errors import DoraError, ProtocolError

VARIABLE = "DORA_RUNTIME_DIR"
_PEER_CREDENTIALS = struct.Struct("3i")
_DAEMON = "daemon-"
"""What names of background daemons begin with; no dataflow's id does."""
_MOST_PATH_BYTES = 107
"""Of a unix socket's address."""


def runtime_dir() -> Path | None:
    """The folder that `DORA_RUNTIME_DIR` names, made if it is not there; None if it names none.

    Raises:
        DoraError: the folder cannot be made, or others may write to it.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    folder = Path(text).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as exc:
        raise DoraError(f"the folder of `{VARIABLE}`, `{folder}`: {exc.strerror}") from exc
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise DoraError(
            f"the folder of `{VARIABLE}`, `{folder}`, must be yours and writable by nobody else; "
            f"`chmod 700 {folder}`"
        )
    return folder


def checkout() -> str:
    """The project that this process works in: the nearest folder above with a `.git`, or none.

    Commands in one checkout leave the dataflows of others alone. Where `DORA_RUNTIME_DIR` is set,
    that folder says what belongs together, and this is empty.
    """
    if os.environ.get(VARIABLE):
        return ""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return ""
    return next((str(one) for one in (here, *here.parents) if (one / ".git").exists()), "")


def address_of(name: str) -> str:
    """The address of this name: a path, or text that starts with `@`."""
    folder = runtime_dir()
    return f"@dora-{os.getuid()}/{name}" if folder is None else str(folder / name)


class Listener:
    """The listening sockets of one daemon. `close()` gives them up; twice is fine.

    Raises:
        OSError: the address is taken.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.sockets = [listen(_abstract(address))]
        self.inode = 0
        """Of the socket's file; 0 if it has none."""
        try:
            if not address.startswith("@"):
                self._open_file()
        except OSError:
            self.close()
            raise

    @classmethod
    def resumed(cls, address: str, fds: list[int], inode: int) -> Listener:
        """The sockets that another program of this process listened at; takes them over."""
        listener = cls.__new__(cls)
        listener.address, listener.inode = address, inode
        listener.sockets = [socket.socket(fileno=fd) for fd in fds]
        return listener

    @property
    def damaged(self) -> bool:
        """Whether somebody removed the socket's file."""
        return not self.address.startswith("@") and not self._is_there()

    def repair(self) -> None:
        """Make the socket's file anew; the last of `sockets` is closed and replaced.

        Raises:
            OSError: the file cannot be made; the others go on.
        """
        if len(self.sockets) > 1:
            self.sockets.pop().close()
        self._open_file()

    def close(self) -> None:
        """Listen no more, and remove the file."""
        if self._is_there():
            os.unlink(self.address)
        for one in self.sockets:
            one.close()
        self.sockets.clear()

    def _is_there(self) -> bool:
        if self.address.startswith("@"):
            return False
        try:
            return os.stat(self.address).st_ino == self.inode
        except OSError:
            return False

    def _open_file(self) -> None:
        """Bind under another name first: a file that nobody listens at is taken for a stale one."""
        folder, name = os.path.split(self.address)
        os.makedirs(folder, 0o700, exist_ok=True)
        opening = os.path.join(folder, f".{name}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(opening)
        self.sockets.append(_bound(opening))
        self.inode = os.stat(opening).st_ino
        os.rename(opening, self.address)


def listen(address: str) -> socket.socket:
    """Open one listening socket at an address that starts with `@`; the caller owns it.

    Raises:
        OSError: the address is taken.
    """
    return _bound(address)


def connect(address: str) -> socket.socket:
    """Connect to a daemon of the same user; the caller owns the socket, which blocks.

    Raises:
        OSError: nobody listens there.
        ProtocolError: the listener belongs to another user.
    """
    try:
        return _connect(address)
    except OSError:
        if address.startswith("@"):
            raise
    return _connect(_abstract(address))  # its file was removed, or is of a namespace beyond ours


def peer_uid(link: socket.socket) -> int:
    """The user at the other end of a connected unix socket."""
    return _peer(link)[1]


def peer_pid(link: socket.socket) -> int:
    """The process at the other end when it connected, as this one numbers processes; 0: unseen."""
    return _peer(link)[0]


def daemon_address(project: str) -> str:
    """Where the background daemon of a project listens; see `checkout`."""
    told = hashlib.sha256(project.encode()).hexdigest()[:16] if project else "user"
    return address_of(_DAEMON + told)


def running() -> list[str]:
    """Addresses of this user's dataflows that run now; see `listening`."""
    return [one for one in listening() if not name_of(one).startswith(_DAEMON)]


def daemons() -> list[str]:
    """Addresses of this user's background daemons; see `listening`."""
    return [one for one in listening() if name_of(one).startswith(_DAEMON)]


def listening() -> list[str]:
    """Addresses where this user's daemons listen now.

    Removes files of sockets that nobody listens at.
    """
    folder = runtime_dir()
    prefix = _prefix(folder)
    found: dict[str, None] = {}
    with open("/proc/net/unix") as table:
        lines = table.read().splitlines()
    for line in lines[1:]:
        columns = line.split(maxsplit=7)
        # Flags 00010000 is SO_ACCEPTCON: the listening socket, not one of its connections.
        if len(columns) == 8 and columns[7].startswith(prefix) and columns[3] == "00010000":
            name = columns[7].removeprefix(prefix)
            found[columns[7] if folder is None else str(folder / name)] = None
    if folder is not None:
        for path in sorted(folder.iterdir()):
            address = str(path)
            if address not in found and path.is_socket() and _answers(address):
                found[address] = None
    return list(found)


def name_of(address: str) -> str:
    """The name that an address was made of."""
    return address.rpartition("/")[2]


def _answers(path: str) -> bool:
    """Whether somebody listens at a socket's file; it is removed if not."""
    try:
        _connect(path).close()
    except ConnectionRefusedError:
        if not os.path.basename(path).startswith("."):  # one that is just being opened
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return False
    except (OSError, ProtocolError):
        return False
    return True


def _connect(address: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _with_raw(address, link.connect)
        owner = peer_uid(link)
        if owner != os.getuid():
            raise ProtocolError(f"`{address}` belongs to user {owner}, not to you ({os.getuid()})")
    except BaseException:
        link.close()
        raise
    return link


def _bound(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _with_raw(address, listener.bind)
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def _peer(link: socket.socket) -> tuple[int, int]:
    raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
    pid, uid, _gid = _PEER_CREDENTIALS.unpack(raw)
    return int(pid), int(uid)


def _prefix(folder: Path | None) -> str:
    """What all abstract names of a runtime folder begin with."""
    if folder is None:
        return f"@dora-{os.getuid()}/"
    told = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return f"@dora-{os.getuid()}-{told}/"


def _abstract(address: str) -> str:
    """The abstract address that goes with one."""
    if address.startswith("@"):
        return address
    folder, name = os.path.split(address)
    return _prefix(Path(folder)) + name


def _with_raw(address: str, call: object) -> None:
    """Bind or connect: an abstract name begins with NUL; a long path is reached by its folder."""
    assert callable(call)
    if address.startswith("@"):
        call("\0" + address[1:])
    elif len(os.fsencode(address)) <= _MOST_PATH_BYTES:
        call(address)
    else:
        folder, name = os.path.split(address)
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            call(f"/proc/self/fd/{fd}/{name}")
        finally:
            os.close(fd)

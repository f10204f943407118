"""A minimal NBD client, which reads, and flushes once a second in parallel to a load."""

import socket
import struct
import threading
import time

READ = 0
WRITE = 1
FLUSH = 3
DISCONNECT = 2
MULTI_CONN = 1 << 8


class Connection:
    """A connection to the default export of a server on a Unix socket."""

    def __init__(self, path: str):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        magic, option_magic, _ = struct.unpack(">8s8sH", self.receive(18))
        if (magic, option_magic) != (b"NBDMAGIC", b"IHAVEOPT"):
            raise OSError("not an NBD server")
        # Fixed newstyle, no padding; then NBD_OPT_EXPORT_NAME with the empty name.
        self.socket.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))
        self.size, self.flags = struct.unpack(">QH", self.receive(10))

    def receive(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise OSError("the NBD server closed the connection")
            data += piece
        return data

    def read(self, offset: int, count: int) -> bytes:
        self.request(READ, offset, count)
        return self.receive(count)

    def write_all(self, offsets: list[int], data: bytes, depth: int = 16) -> None:
        """Writes `data` at each of the offsets, `depth` requests at a time."""
        for begin in range(0, len(offsets), depth):
            some = offsets[begin:begin + depth]
            self.socket.sendall(b"".join(
                struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 0, offset, len(data)) + data for offset in some))
            for _ in some:
                _, error, _ = struct.unpack(">IIQ", self.receive(16))
                if error:
                    raise OSError(error, "the server failed to write")

    def flush(self) -> None:
        self.request(FLUSH)

    def request(self, kind: int, offset: int = 0, count: int = 0) -> None:
        """Sends a request and receives the header of its reply."""
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 0, offset, count))
        _, error, _ = struct.unpack(">IIQ", self.receive(16))
        if error:
            raise OSError(error, f"the server failed to {'read' if kind == READ else 'flush'}")

    def close(self) -> None:
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, DISCONNECT, 0, 0, 0))
        self.socket.close()


class Flusher:
    """Flushes each second on a connection of its own while the context lasts.

    fio can flush after a number of writes, but not after a time. If a server supports multi-conn, as all measured
    servers do, a flush covers the writes that were answered on other connections.
    """

    def __init__(self, path: str):
        self.connection = Connection(path)
        self.times: list[float] = []
        self.error: OSError | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    @property
    def covers_other_connections(self) -> bool:
        return bool(self.connection.flags & MULTI_CONN)

    def run(self) -> None:
        try:
            due = time.monotonic() + 1
            # A flush that takes longer than a second is followed by the next one at once.
            while not self.ended.wait(max(0, due - time.monotonic())):
                begin = time.monotonic()
                self.connection.flush()
                self.times.append(time.monotonic() - begin)
                due = max(due + 1, time.monotonic())
        except OSError as error:
            self.error = error

    def __enter__(self) -> "Flusher":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        if self.error:
            raise self.error
        self.connection.close()

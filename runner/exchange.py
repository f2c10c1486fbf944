"""The trusted end of the socket to one worker: asks, and believes nothing about the answer's form."""

import select
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runner.sandbox.interface import Exit, Process
from runner.score import RejectedError
from runner.worker import HEADER, short

_CHUNK = 1 << 20


class WorkerLostError(Exception):
    """The worker ended or was killed before it answered."""

    def __init__(self, exit_: Exit) -> None:
        super().__init__(exit_.cause)
        self.exit = exit_


class Listener:
    """A unix socket at `path` that takes exactly one connection."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        with short(str(path)) as address:
            self._socket.bind(address)
        path.chmod(0o666)  # in a folder of our own; inside a container it is another user who connects
        self._socket.listen(1)

    def accept(self, process: Process) -> "Exchange":
        """Waits until the model is loaded. Raises WorkerLostError or RejectedError."""
        with self._socket:
            while not select.select([self._socket], [], [], 0.02)[0]:
                _supervise(process)
            connection, _ = self._socket.accept()
        exchange = Exchange(connection, process)
        if exchange.receive(HEADER.size) != bytes(HEADER.size):
            raise RejectedError("the worker's greeting is not of the protocol")
        return exchange


class Exchange:
    """A conversation with one worker; every wait supervises its process, whose wall limit is the deadline."""

    def __init__(self, connection: socket.socket, process: Process) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._process = process
        self._supervised_s = 0.0

    def ask(self, batch: NDArray[Any], answer: tuple[int, ...]) -> NDArray[np.float32]:
        """Tokens [B, T] or arrays [B, ...] -> [B, *answer]: (T, V) logits, or (K,) outputs of an array.

        Raises WorkerLostError or RejectedError.
        """
        self._require_silence()
        count, is_text = len(batch), len(answer) == 2
        body = np.ascontiguousarray(batch, dtype="<i8" if is_text else "<f4")
        self._send(HEADER.pack(count, body[0].size, 0) + body.tobytes())
        shape = HEADER.unpack(self.receive(HEADER.size))
        if shape != (count, *(answer if is_text else (1, *answer))):
            got, due = (list(shape), "logits") if is_text else ([shape[0], *shape[2:]], "outputs")
            raise RejectedError(f"the model answered {got} {due} where {[count, *answer]} were due")
        data = self.receive(4 * count * int(np.prod(answer)))
        return np.frombuffer(data, dtype="<f4").reshape(count, *answer)

    def close(self) -> None:
        """Raises RejectedError if anything was sent that nobody asked for."""
        try:
            self._require_silence()
        finally:
            self._connection.close()

    def receive(self, size: int) -> bytearray:
        """Exactly `size` bytes."""
        data, filled = bytearray(size), 0
        view = memoryview(data)
        while filled < size:
            self._wait(select.POLLIN)
            try:
                got = self._connection.recv_into(view[filled : filled + _CHUNK])
            except BlockingIOError:
                continue
            except ConnectionError:
                got = 0
            if not got:
                self._lost()
            filled += got
        return data

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._wait(select.POLLOUT)
            try:
                view = view[self._connection.send(view[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except ConnectionError:
                self._lost()

    def _wait(self, event: int) -> None:
        poller = select.poll()
        poller.register(self._connection, event)
        while not poller.poll(50):
            _supervise(self._process)
        if time.monotonic() - self._supervised_s > 0.1:  # a slow drip must not keep the clock from being read
            _supervise(self._process)
            self._supervised_s = time.monotonic()

    def _require_silence(self) -> None:
        if select.select([self._connection], [], [], 0)[0]:
            raise RejectedError("the worker sent something that nobody asked for")

    def _lost(self) -> None:
        ended = self._process.poll(timeout_s=2.0)
        if ended is None:
            raise RejectedError("the worker closed its socket before the end")
        raise WorkerLostError(ended)


def _supervise(process: Process) -> None:
    ended = process.poll()
    if ended is not None:
        raise WorkerLostError(ended)

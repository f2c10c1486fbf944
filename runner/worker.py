"""Runs inside the sandbox, beside the candidate's code: loads its model and answers over a unix socket.

    python worker.py TASK_DIR OUT_DIR SOCKET DEVICE [SIZE ...]

One frame is three little-endian uint32 and a body. To here (B, T, 0): tokens int64 [B, T] or, where sizes are given,
arrays float32 [B, SIZE, ...] of T numbers each. From here: logits float32 (B, T, V), or outputs as (B, 1, K); first of
all, once the model is loaded, an empty frame. Nothing that arrives is ever unpickled.
Whoever controls this process controls these answers, which is why the runner audits them.
"""

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

HEADER = struct.Struct("<III")


def main(task_dir: str, out_dir: str, address: str, device: str, *sizes: str) -> None:
    sys.path[0] = task_dir  # and not this file's folder, whose modules are none of the candidate's business
    from train import load  # the candidate's

    predict = load(out_dir, device)
    with socket.socket(socket.AF_UNIX) as connection:
        with short(address) as path:
            connection.connect(path)
        connection.sendall(HEADER.pack(0, 0, 0))
        with connection.makefile("rb") as incoming:
            while header := incoming.read(HEADER.size):
                count, length, _ = HEADER.unpack(header)
                shape = (count, *(map(int, sizes) if sizes else [length]))
                asked = incoming.read(count * length * (4 if sizes else 8))
                answered = answer(predict, asked, shape, device, is_text=not sizes)
                connection.sendall(HEADER.pack(*answered.shape))
                connection.sendall(memoryview(answered).cast("B"))


@contextmanager
def short(address: str) -> Iterator[str]:
    """Another path of the socket `address`: the kernel takes some 100 characters, and temporary folders lie deep."""
    folder = os.open(os.path.dirname(address), os.O_PATH)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(address)}"
    finally:
        os.close(folder)


def answer(predict: Any, asked: bytes, shape: tuple[int, ...], device: str, *, is_text: bool) -> Any:
    """float32 [B, T, V] or [B, 1, K]. Inputs are a torch tensor if train.py uses torch, a NumPy array otherwise."""
    import numpy as np

    array = np.frombuffer(bytearray(asked), dtype="<i8" if is_text else "<f4").reshape(shape)
    if "torch" in sys.modules:
        import torch

        given = predict(torch.from_numpy(array).to(device)).detach().float().cpu().contiguous().numpy()
    else:
        given = np.asarray(predict(array))
    if given.ndim != (3 if is_text else 2):
        due = "[B, T, V]" if is_text else "[B, K]"
        raise ValueError(f"load's function answered {list(given.shape)} where {due} was due")
    return np.ascontiguousarray(given if is_text else given[:, None, :], dtype="<f4")


if __name__ == "__main__":
    main(*sys.argv[1:])

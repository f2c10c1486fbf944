"""Runs inside the sandbox, beside the candidate's code: loads its model and answers over a unix socket.

    python worker.py TASK_DIR OUT_DIR SOCKET DEVICE

One frame is three little-endian uint32 (B, T, V) and a body. To here: V = 0, tokens int64 [B, T]. From here: logits
float32 [B, T, V]; first of all, once the model is loaded, an empty frame. Nothing that arrives is ever unpickled.
Whoever controls this process controls these answers, which is why the runner audits them.
"""

import socket
import struct
import sys
from typing import Any

HEADER = struct.Struct("<III")


def main(task_dir: str, out_dir: str, address: str, device: str) -> None:
    sys.path[0] = task_dir  # and not this file's folder, whose modules are none of the candidate's business
    from train import load  # the candidate's

    predict = load(out_dir, device)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.sendall(HEADER.pack(0, 0, 0))
        with connection.makefile("rb") as incoming:
            while header := incoming.read(HEADER.size):
                count, length, _ = HEADER.unpack(header)
                logits = answer(predict, incoming.read(count * length * 8), (count, length), device)
                connection.sendall(HEADER.pack(*logits.shape))
                connection.sendall(memoryview(logits).cast("B"))


def answer(predict: Any, tokens: bytes, shape: tuple[int, int], device: str) -> Any:
    """float32 [B, T, V]. Tokens are a torch tensor if train.py uses torch, and a NumPy array otherwise."""
    import numpy as np

    array = np.frombuffer(bytearray(tokens), dtype="<i8").reshape(shape)
    if "torch" not in sys.modules:
        return np.ascontiguousarray(np.asarray(predict(array)), dtype="<f4")
    import torch

    logits = predict(torch.from_numpy(array).to(device)).detach().float().cpu().contiguous()
    return np.ascontiguousarray(logits.numpy(), dtype="<f4")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The filter of system calls for bubblewrap: the profile that is shipped for Docker, translated by libseccomp.

The names and numbers are those of libseccomp's seccomp.h.
"""

import ctypes
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from runner.sandbox.interface import SandboxError

PROFILE = Path(__file__).with_name("seccomp.json")
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_COMPARE = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
_UNKNOWN = -1


class _Argument(ctypes.Structure):
    _fields_ = (
        ("index", ctypes.c_uint),
        ("compare", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def descriptor() -> int:
    """An open file with the compiled filter for this machine's architecture. Raises SandboxError."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        raise SandboxError("the bubblewrap sandbox needs libseccomp: install libseccomp2") from None
    library.seccomp_init.restype = ctypes.c_void_p
    profile = json.loads(PROFILE.read_text())
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | profile["defaultErrnoRet"])))
    try:
        for rule in profile["syscalls"]:
            for name in rule["names"]:
                _add(library, context, name, rule)
        with tempfile.TemporaryFile() as file:
            if library.seccomp_export_bpf(context, file.fileno()):
                raise SandboxError("libseccomp could not compile the filter of system calls")
            file.seek(0)
            return os.dup(file.fileno())
    finally:
        library.seccomp_release(context)


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, name: str, rule: dict[str, Any]) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == _UNKNOWN:
        return  # newer than this libseccomp: refused like everything that is not named
    arguments = [
        _Argument(
            argument["index"],
            _COMPARE[argument["op"]],
            argument["value"],
            argument.get("valueTwo", 0),
        )
        for argument in rule.get("args", [])
    ]
    action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
    array = (_Argument * len(arguments))(*arguments)
    if library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(arguments), array):
        raise SandboxError(f"libseccomp refused the rule for {name}")

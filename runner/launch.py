"""Runs inside the sandbox: copies the compiled kernels to where this process may write, then becomes the candidate.

python launch.py FROM TO ARGV...
"""

import os
import shutil
import sys


def main(source: str, target: str, *argv: str) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copy)
    os.execvp(argv[0], argv)  # noqa: S606 - what comes after is the candidate, as it would be without us


if __name__ == "__main__":
    main(*sys.argv[1:])

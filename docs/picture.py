"""Takes the picture in the README: a pull request of the demo, from its title to its verdict, as a browser shows it.

    make demo N=2 ARGS=--keep-serving                                   until it says that it is still serving
    python docs/picture.py http://127.0.0.1:8800/you/tiny-gpt/pull/3    in another terminal: the one that was merged

Needs Chromium or Chrome. `--height` cuts the page off below what the picture is to show.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "pull-request.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MOST_KB = 300  # it is loaded with the README


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", help="address of a pull request")
    parser.add_argument("--height", type=int, default=1_676, help="pixels of a page that is 1000 wide")
    given = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"there is none of {', '.join(BROWSERS)}: install one")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",  # the page is our own, and root has no sandbox
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size=1000,{given.height}",
                f"--screenshot={PICTURE}",
                given.page,
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
    size_kb = PICTURE.stat().st_size // 1000
    print(f"{PICTURE}: {size_kb} kB")
    return int(size_kb > MOST_KB)


if __name__ == "__main__":
    sys.exit(main())

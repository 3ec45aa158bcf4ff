"""Runs README from "In your application" on, with nothing but Python, curl and Node.

``python3 quickstart.py README.rst WHEEL``: an empty environment, the wheel in it, the files that
README shows, and its commands, each compared with the output that is shown.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent

START = "\nIn your application\n"
EXTRAS = "jwt,httpx"
BLOCK = re.compile(
    r"^\.\. code-block:: (\w+)\n(?:    :name: (\S+)\n)?\n((?:    .*\n|\n)+)", re.MULTILINE
)
SECONDS = 120


class Quickstart:
    """A reader's folder and shell.

    :param wheel: what ``pip install`` gets.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self._folder = folder
        self._wheel = wheel
        self._server: subprocess.Popen[bytes] | None = None
        venv.create(folder / ".venv", with_pip=True)
        path = os.pathsep.join((str(folder / ".venv/bin"), os.environ["PATH"]))
        self._environment = {**os.environ, "PATH": path}

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, encoding="utf-8")

    def console(self, text: str) -> None:
        for part in re.split(r"(?m)^\$ ", text)[1:]:
            command, _, shown = part.partition("\n")
            print(f"$ {command}", flush=True)
            if command.startswith("pip install"):
                command = f"pip install --quiet '{self._wheel}[{EXTRAS}]'"
            if command.startswith("flask") and command.endswith(" run"):
                self._serve(command)
            else:
                self._compare(shown.strip(), self._run(command))

    def close(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        print(done.stdout, end="", flush=True)
        if done.returncode:
            sys.exit(f"{command} ended with {done.returncode}")
        return done.stdout

    def _compare(self, shown: str, printed: str) -> None:
        printed = "\n".join(line.rstrip() for line in printed.strip().splitlines())
        checker = doctest.OutputChecker()
        if shown and not checker.check_output(f"{shown}\n", f"{printed}\n", doctest.ELLIPSIS):
            sys.exit(f"README shows:\n{shown}")

    def _serve(self, command: str) -> None:
        self.close()
        self._server = subprocess.Popen(
            command.split(),
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + SECONDS
        while not _answers():
            if self._server.poll() is not None or time.monotonic() > end:
                sys.exit(f"{command} does not answer")
            time.sleep(0.1)


def _answers() -> bool:
    try:
        urllib.request.urlopen("http://127.0.0.1:5000/", timeout=5).close()
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def main() -> None:
    readme, wheel = (Path(name).resolve() for name in sys.argv[1:])
    blocks = BLOCK.findall(readme.read_text("utf-8").partition(START)[2])
    with TemporaryDirectory() as folder:
        reader = Quickstart(Path(folder), wheel)
        try:
            for kind, name, text in blocks:
                if kind == "console":
                    reader.console(dedent(text))
                else:
                    reader.write(name, dedent(text))
        finally:
            reader.close()
    print(f"{len(blocks)} blocks of README, as it shows them")


if __name__ == "__main__":
    main()

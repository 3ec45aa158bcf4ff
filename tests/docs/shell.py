"""Runs the commands and programs of one page, in an empty folder of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from doctest import ELLIPSIS, OutputChecker
from http import HTTPStatus
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from ..ports import free_port

REPOSITORY = Path(__file__).parents[2]

# Pages say where `flask run` listens; a free port stands in for it.
_WRITTEN = "127.0.0.1:5000"
_FOREIGN = ("FLASK_", "GIT_", "MAKE", "MFLAGS", "PYTEST_", "SEALED_")
_COMMAND_SECONDS = 180
_START_SECONDS = 180


class SnippetError(AssertionError):
    """A snippet does not do what its page says."""


class Shell:
    """What a reader of one page has: a folder, a shell that remembers, and its servers.

    :param repository: the checkout that ``<repository>`` and ``make`` stand for.
    """

    def __init__(self, repository: Path = REPOSITORY) -> None:
        self.repository = repository
        self._state = Path(tempfile.mkdtemp(prefix="sealed-docs-"))
        self.folder = self._state / "folder"
        self.folder.mkdir()
        self._port = free_port()
        self._status = 0
        self._server: subprocess.Popen[bytes] | None = None
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
        }
        tools = [str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment.update(PATH=os.pathsep.join(tools), FLASK_RUN_PORT=str(self._port))

    def close(self) -> None:
        """Stop the server, and leave nothing behind."""
        self._stop()
        shutil.rmtree(self._state)

    def localized(self, text: str) -> str:
        """A snippet with the port that is listened at."""
        return text.replace(_WRITTEN, f"127.0.0.1:{self._port}")

    def write(self, name: str, content: str) -> None:
        """Make the file that a snippet shows."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.localized(content), encoding="utf-8")

    def console(self, block: str) -> None:
        """Run a block of commands, each after ``$``, and compare the output that is shown."""
        commands = _commands(block)
        for index, (command, shown) in enumerate(commands):
            output = self._run(command)
            asked = index + 1 < len(commands) and commands[index + 1][0] == "echo $?"
            if self._status and not asked:
                raise SnippetError(f"$ {command}\nended with {self._status}:\n{output}")
            _compare(command, shown, output)

    def javascript(self, source: str) -> None:
        """Run an ES module."""
        self._finish(["node", "--input-type=module", "-"], self.localized(source))
        if self._status:
            raise SnippetError("the module failed")

    def typescript(self, source: str) -> None:
        """Compile a program, with the files that its page shows and the modules in its folder."""
        self.write("snippet.ts", source)
        compiler = self.repository / "tests/js/node_modules/typescript/bin/tsc"
        options = ["--noEmit", "--strict", "--experimentalDecorators", "--target", "es2022"]
        modules = ["--module", "esnext", "--moduleResolution", "bundler"]
        self._finish(["node", str(compiler), *options, *modules, "snippet.ts"], "")

    def _run(self, command: str) -> str:
        words = shlex.split(command)
        if words[0] == "make":
            return self._make(words[1])
        if words[:2] == ["pip", "install"]:
            return self._install(words[2:])
        if words[:2] == ["curl", "-s"]:
            return self._fetch(*words[2:])
        if words[0] == "flask" and "run" in words:
            return self._serve(words)
        return self._bash(command.replace("<repository>", shlex.quote(str(self.repository))))

    def _bash(self, command: str) -> str:
        environment, folder = self._state / "environment", self._state / "cwd"
        script = (
            f"(exit {self._status})\n{self.localized(command)}\nstatus=$?\n"
            f"pwd > {folder}; env -0 > {environment}; exit $status\n"
        )
        output = self._finish(["bash", "-c", script])
        pairs = (entry.partition("=") for entry in environment.read_text().split("\0") if entry)
        self.environment = {name: value for name, _, value in pairs}
        self.folder = Path(folder.read_text().rstrip("\n"))
        return output.replace(f"127.0.0.1:{self._port}", _WRITTEN)

    def _finish(self, command: list[str], sent: str | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=sent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        self._status = done.returncode
        if sent is not None and done.returncode:
            raise SnippetError(f"the program failed:\n{done.stdout}")
        return done.stdout

    def _make(self, target: str) -> str:
        makefile = (self.repository / "Makefile").read_text(encoding="utf-8")
        if not re.search(rf"(?m)^{re.escape(target)}\s*:(?!=)", makefile):
            raise SnippetError(f"the Makefile has no target {target}")
        # Of the others, some would run this very test.
        if target == "demo":
            self._start(["make", "demo", f"PORT={self._port}"], self.repository)
            shown = _status(self._port)
            self._stop()
            if shown != HTTPStatus.OK:
                raise SnippetError(f"make demo answers with {shown}")
        self._status = 0
        return ""

    def _install(self, wanted: list[str]) -> str:
        for text in wanted:
            requirement = Requirement(text)
            name, extras = self._published(requirement.name)
            missing = requirement.extras - extras
            if name != requirement.name or missing:
                raise SnippetError(f"pip install {text}: {name} has no {missing or 'such name'}")
        self._status = 0
        return ""

    def _published(self, name: str) -> tuple[str, set[str]]:
        """A distribution's name and its extras: this project's as it will be published."""
        with (self.repository / "pyproject.toml").open("rb") as file:
            project = tomllib.load(file)["project"]
        if project["name"] == name:
            return name, set(project["optional-dependencies"])
        metadata = distribution(name).metadata
        return metadata["Name"].lower(), set(metadata.get_all("Provides-Extra") or ())

    def _serve(self, words: list[str]) -> str:
        self._stop()
        self._start(words, self.folder)
        self._status = 0
        return ""

    def _fetch(self, url: str, *into: str) -> str:
        # Not every machine that runs these tests has curl.
        self._status = 0
        with urllib.request.urlopen(self.localized(url), timeout=_COMMAND_SECONDS) as response:
            content = str(response.read().decode())
        if into[:1] != (">",):
            return content
        (self.folder / into[1]).write_text(content, encoding="utf-8")
        return ""

    def _start(self, command: list[str], folder: Path) -> None:
        log = self._state / "log"
        with log.open("wb") as output:
            self._server = subprocess.Popen(
                command,
                cwd=folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + _START_SECONDS
        while _status(self._port) is None:
            ended = self._server.poll() is not None
            if ended or time.monotonic() > end:
                self._stop()
                raise SnippetError(f"$ {shlex.join(command)}\nnever answered:\n{log.read_text()}")
            time.sleep(0.05)

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(server.pid, number)
                server.wait(60)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        server.wait()


def _commands(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with the output that is shown."""
    commands: list[tuple[str, str]] = []
    for line in block.replace("\\\n> ", "").rstrip().splitlines():
        if line.startswith("$ "):
            commands.append((line[2:].strip(), ""))
        elif commands:
            command, shown = commands.pop()
            commands.append((command, f"{shown}{line.rstrip()}\n"))
        else:
            raise SnippetError("a console block starts with `$ `")
    return commands


def _compare(command: str, shown: str, output: str) -> None:
    output = "".join(f"{line.rstrip()}\n" for line in output.rstrip("\n").splitlines())
    shown = shown.rstrip("\n") + "\n"
    if shown.strip() and not OutputChecker().check_output(shown, output, ELLIPSIS):
        raise SnippetError(f"$ {command}\nprinted:\n{output}\nand the page shows:\n{shown}")


def _status(port: int) -> int | None:
    """The status that the page at / has, if anything answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None

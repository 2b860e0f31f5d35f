"""New environments, as a third party has them, with nothing downloaded."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any


class Environment:
    """A virtual environment that borrows the packages of this one.

    Args:
        folder: to make it in; commands run in a folder beside it.
    """

    def __init__(self, folder: Path) -> None:
        venv.EnvBuilder(symlinks=True).create(folder / "venv")
        self.python = str(folder / "venv/bin/python")
        self.work = folder / "work"
        self.work.mkdir()
        (packages,) = (folder / "venv").glob("lib/python*/site-packages")
        borrowed = [path for path in sys.path if path.endswith("site-packages")]
        lines = [f"import site; site.addsitedir({path!r})\n" for path in borrowed]
        (packages / "borrowed.pth").write_text("".join(lines))

    def install(self, package: Path) -> None:
        """Install a package from its folder, offline."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet"]
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--no-warn-conflicts"]
        done = subprocess.run([*pip, *offline, str(package)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        """What Python prints on standard output, or on both where it is meant to fail."""
        done = subprocess.run(
            [self.python, *arguments], capture_output=True, text=True, cwd=cwd or self.work
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr if code else done.stdout

    def progressgym(self, *arguments: str, code: int = 0) -> str:
        """The same of our command line."""
        return self.run("-m", "progressgym", *arguments, code=code)

    def json(self, *arguments: str) -> Any:
        """The document that a command prints."""
        return json.loads(self.progressgym(*arguments, "--json"))

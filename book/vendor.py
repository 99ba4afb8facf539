"""Put the browser code that the pages need under ``book/_static/vendor``, from pinned npm packages.

    python book/vendor.py

needs npm and a network. What it writes is committed, so nobody else needs either.
A row of ``PACKAGES`` is all that another library needs.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

TARGET = Path(__file__).resolve().parent / "_static" / "vendor"


@dataclass(frozen=True)
class Package:
    """An npm package and what is taken from it.

    Attributes
    ----------
    integrity : str
        As ``npm view NAME@VERSION dist.integrity`` prints it.
    folder : str
        Folder inside the package that the files are taken relative to.
    files : str
        Regular expression over whole paths below ``folder``; the licence is taken in any case.
    used_by : str
        What stops working without it.
    """

    name: str
    version: str
    licence: str
    integrity: str
    folder: str
    files: str
    used_by: str


PACKAGES = [
    Package(
        name="mathjax",
        version="3.2.2",
        licence="Apache-2.0",
        integrity="sha512-Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
        folder="es5",
        files=r"tex-mml-chtml\.js|output/chtml/fonts/woff-v2/.*\.woff",
        used_by="formulas (`mathjax_path` in `_config.yml`)",
    ),
    Package(
        name="reveal.js",
        version="6.0.2",
        licence="MIT",
        integrity="sha512-JYIg5D9aoxoaLeb84O+OvAwsKWdIavVgEDScxtYEXFCT6t6TQrhNtSgogcjdCpdLsWglhJn3zyE3fUOwiH5KEg==",
        folder="dist",
        files=r"reveal\.(js|css)|plugin/notes\.js",
        used_by="slides (`book/slides.py`)",
    ),
]


def download(package: Package, folder: Path) -> Path:
    """Fetch the package's archive into ``folder``; exit unless it is the pinned one."""
    wanted = f"{package.name}@{package.version}"
    packed = subprocess.run(
        ["npm", "pack", wanted, "--silent"], cwd=folder, check=True, capture_output=True, text=True
    )
    archive = folder / packed.stdout.strip()
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package.integrity:
        sys.exit(f"{wanted} is not the package that vendor.py was written for: its integrity is {found}.")
    return archive


def unpack(package: Package, archive: Path, target: Path) -> list[Path]:
    """Take the package's licence and chosen files from ``archive`` to ``target``; return what was written."""
    taken = []
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.removeprefix("package/")
            inner = path.removeprefix(f"{package.folder}/")
            if path == "LICENSE":
                destination = target / path
            elif inner != path and re.fullmatch(package.files, inner):
                destination = target / inner
            else:
                continue
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.write_bytes(tar.extractfile(member).read())
            taken.append(destination)
    return taken


def main() -> None:
    """Fill a folder beside the target, then put it in the target's place."""
    if shutil.which("npm") is None:
        sys.exit("npm is not on the PATH: install Node.js (what is vendored now is committed).")
    with tempfile.TemporaryDirectory(dir=TARGET.parent) as scratch:
        fresh = Path(scratch) / "vendor"
        rows = ["# Vendored browser code", "", "Written by `book/vendor.py`; do not edit.", ""]
        rows += ["| package | version | licence | integrity | used by |", "|---|---|---|---|---|"]
        for package in PACKAGES:
            taken = unpack(package, download(package, Path(scratch)), fresh / package.name)
            print(f"{package.name} {package.version} ({package.licence}):")
            for path in taken:
                print(f"  {path.relative_to(fresh)}, {path.stat().st_size} bytes")
            cells = (
                package.name,
                package.version,
                package.licence,
                f"`{package.integrity}`",
                package.used_by,
            )
            rows.append(f"| {' | '.join(cells)} |")
        (fresh / "README.md").write_text("\n".join(rows) + "\n", encoding="utf-8")
        if TARGET.exists():
            os.replace(TARGET, Path(scratch) / "old")
        os.replace(fresh, TARGET)


if __name__ == "__main__":
    main()

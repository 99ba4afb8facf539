"""Put the browser code that the pages need under ``book/_static/vendor``, from pinned npm packages.

    python book/vendor.py

needs npm, uv and a network. What it writes is committed, so nobody else needs either.
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
        Folder of the archive that the files are taken relative to.
    files : str
        Regular expression over whole paths below ``folder``; the licence is taken in any case.
    used_by : str
        What stops working without it.
    characters : str
        Of a font: those that are kept, as ``pyftsubset --unicodes`` takes them.
    """

    name: str
    version: str
    licence: str
    integrity: str
    folder: str
    files: str
    used_by: str
    characters: str = ""


PACKAGES = [
    Package(
        name="temml",
        version="0.13.5",
        licence="MIT",
        integrity="sha512-aPkDDgunanpLNL0ql32HbolqLep+w8DRcVXRql7rWrMt/PhczdLgL4UBYYVU3BYjCNjkGq4EqwIicu/zWr1iOg==",
        folder="package/dist",
        files=r"temml\.min\.js",
        used_by="formulas, when pages and slides are made (`book/maths.py`)",
    ),
    Package(
        name="@fontsource/stix-two-math",
        version="5.3.0",
        licence="OFL-1.1",
        integrity="sha512-negoeozw6VSXjZMozwKRSm/dhCQT62csZcuea9I8KYqPaZq/8KbbBBrA02ZHF7AyuR5mVML/p+q0bwFuSIf2GQ==",
        folder="package/files",
        files=r"stix-two-math-latin-400-normal\.woff2",
        used_by="formulas, when they are read (`book/_static/course.css`)",
        characters=(
            "20-7E,A0,AC,AF,B1,B7,D7,F7,2C6,2D9,2DC,302-308,30C,20D7,391-3C9,3D1,3D5,3D6,3F0,3F1,3F5,2016,2020,2026,"
            "2032-2034,203E,2061-2064,2102,210E,2110-2113,2115,2119,211A,211B,211D,2124,212C,2130,2131,2133,"
            "2190-2194,21A6,21D0-21D4,2200-223C,2248,2260-2265,226A,226B,2282-2287,2295-2299,22A4,22A5,22C2,22C3,"
            "22C5,22EE-22F1,2308-230B,23DE,23DF,25E6,27E8,27E9,27F5-27FA,1D400-1D467,1D49C-1D4B5,1D538-1D551,"
            "1D6A8-1D6C0,1D6FC-1D71B,1D7CE-1D7D7"
        ),
    ),
    Package(
        name="@fontsource/source-serif-4",
        version="5.3.0",
        licence="OFL-1.1",
        integrity="sha512-yQz8xmIgMzks8zQbpuca3UYtjxK798XCyQAGdDXmzBgvV7sdoK6d0YvE9F9kiYxORCEMRBgGZDZsSYcXj5KvwA==",
        folder="package/files",
        files=r"source-serif-4-latin-600-normal\.woff2",
        used_by="headings (`book/_static/course.css`)",
        characters="20-7E,A0-FF,2013,2014,2018,2019,201C,201D,2026,2192,2212",
    ),
    Package(
        name="axe-core",
        version="4.14.1",
        licence="MPL-2.0",
        integrity="sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        folder="package",
        files=r"axe\.min\.js",
        used_by="tests of accessibility (`tests/book`)",
    ),
    Package(
        name="reveal.js",
        version="6.0.2",
        licence="MIT",
        integrity="sha512-JYIg5D9aoxoaLeb84O+OvAwsKWdIavVgEDScxtYEXFCT6t6TQrhNtSgogcjdCpdLsWglhJn3zyE3fUOwiH5KEg==",
        folder="package/dist",
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
            inner = member.name.removeprefix(f"{package.folder}/")
            if member.name == "package/LICENSE":
                destination = target / "LICENSE"
            elif inner != member.name and re.fullmatch(package.files, inner):
                destination = target / inner
            else:
                continue
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.write_bytes(tar.extractfile(member).read())
            if package.characters and destination.suffix == ".woff2":
                subset(destination, package.characters)
            taken.append(destination)
    return taken


def subset(font: Path, characters: str) -> None:
    """Keep of ``font`` what these characters need: their larger sizes, smaller and upright forms too."""
    smaller = font.with_suffix(".subset")
    subprocess.run(
        [
            *("uvx", "--from", "fonttools[woff]==4.68.0", "pyftsubset", font, f"--output-file={smaller}"),
            *(f"--unicodes={characters}", "--layout-features=ssty,ss01,ss04,kern", "--flavor=woff2"),
            "--no-hinting",
        ],
        check=True,
    )
    os.replace(smaller, font)


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

"""Make the scripts in ``book/`` importable, and lend the tests a browser and the built book."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import built_book, chromium, served
from playwright.sync_api import Browser, expect

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))

# As long as playwright waits elsewhere: five seconds are few on a busy machine.
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def home() -> Iterator[str]:
    with served(built_book()) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as launched:
            yield launched
    except FileNotFoundError as error:
        pytest.exit(str(error), returncode=1)

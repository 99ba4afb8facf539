"""Fixtures for every test: a home without data, and a machine without a network."""

import socket

import pytest

from medgan_course.data import files, surrogate

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    """Return the home of a process that has loaded nothing yet and finds no data."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv("MEDGAN_DATA", raising=False)
    monkeypatch.setattr(surrogate, "_announced", set())
    monkeypatch.setattr(files, "_unreachable", {})
    return home


@pytest.fixture
def no_network(monkeypatch):
    """Names do not resolve and connections fail at once, except on this machine itself."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def local(host):
        return str(host).startswith(LOOPBACK)

    def connect_locally(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not local(address[0]):
            raise OSError("no network in this test")
        return connect(self, address)

    def resolve_locally(host, *args, **kwargs):
        if not local(host):
            raise socket.gaierror("no network in this test")
        return resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_locally)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

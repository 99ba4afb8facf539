"""A download arrives complete and checked, or not at all; the server is this process."""

import errno
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pooch
import pytest

from medgan_course import data
from medgan_course.data import files
from medgan_course.errors import CourseError

pytestmark = pytest.mark.usefixtures("no_network", "empty_home")


@pytest.fixture
def server(tiny):
    """Run a web server that delivers the tiny set, unless told otherwise."""
    state = SimpleNamespace(status=200, content=tiny.official, promised=None, requests=0)
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests += 1
            if state.status is None and released.wait(2):  # say nothing for long
                return
            self.send_response(state.status or 200)
            self.send_header("Content-Length", str(state.promised or len(state.content)))
            self.end_headers()
            self.wfile.write(state.content)

        def log_message(self, *arguments):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    tiny.describe(url=f"http://127.0.0.1:{httpd.server_port}/tinymnist.npz?download=1")
    yield state
    released.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def left_behind(home):
    folder = home / ".medmnist"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_download_then_found(server, tiny, empty_home):
    first = data.load("tinymnist")
    assert first.source == "tinymnist.npz downloaded from 127.0.0.1 to ~/.medmnist, the official bytes."
    assert left_behind(empty_home) == ["tinymnist.npz"]
    assert (empty_home / ".medmnist" / "tinymnist.npz").read_bytes() == tiny.official
    second = data.load("tinymnist", split="val")
    assert "in ~/.medmnist, the official bytes" in second.source
    assert server.requests == 1


def test_download_can_be_forbidden(server, empty_home):
    phantoms = data.load("tinymnist", download=False)
    assert phantoms.is_surrogate
    assert "download=False" in phantoms.source
    assert server.requests == 0


def test_no_network(tiny, empty_home):
    phantoms = data.load("tinymnist")
    assert phantoms.is_surrogate
    assert "there is no connection to tiny.invalid" in phantoms.source
    assert left_behind(empty_home) == []


def test_server_down(server, empty_home):
    server.status = 503
    assert "127.0.0.1 answered 503" in data.load("tinymnist").source
    assert left_behind(empty_home) == []


def test_a_failure_is_remembered_so_that_splits_cannot_differ(server):
    server.status = 503
    train = data.load("tinymnist", split="train")
    server.status = 200
    val = data.load("tinymnist", split="val")
    assert train.is_surrogate
    assert val.is_surrogate
    assert server.requests == 1


def test_connection_lost_on_the_way(server, empty_home):
    server.promised = 2 * len(server.content)
    assert "the transfer from 127.0.0.1 broke off" in data.load("tinymnist").source
    assert left_behind(empty_home) == []


def test_silent_server(server, empty_home, monkeypatch):
    monkeypatch.setattr(files, "TIMEOUT", 0.05)
    server.status = None
    assert "127.0.0.1 did not answer within 0.05 s" in data.load("tinymnist").source
    assert left_behind(empty_home) == []


def test_wrong_checksum_is_an_error(server, empty_home):
    server.content = server.content[:-1] + b"?"
    with pytest.raises(CourseError, match=r"does not have the checksum of tinymnist\.npz and was not kept"):
        data.load("tinymnist")
    assert left_behind(empty_home) == []
    assert data.surrogates_in_use() == frozenset()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_an_error(tiny, empty_home, monkeypatch, number):
    def fill_up(self, url, output_file, pooch):
        with open(output_file, "wb") as stream:
            stream.write(b"the beginning")
        raise OSError(number, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", fill_up)
    with pytest.raises(CourseError, match=r"no space left for tinymnist\.npz in .*\.medmnist"):
        data.load("tinymnist")
    assert left_behind(empty_home) == []


def test_home_that_cannot_be_written(server, empty_home):
    (empty_home / ".medmnist").write_text("a file in the way of the folder")
    phantoms = data.load("tinymnist")
    assert "~/.medmnist cannot be written" in phantoms.source
    assert (empty_home / ".medmnist").read_text() == "a file in the way of the folder"


def test_nothing_is_printed_about_this_machine(server, empty_home, capfd):
    data.load("tinymnist")
    assert str(empty_home) not in "".join(capfd.readouterr())

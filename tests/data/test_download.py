"""A download arrives complete and checked, or not at all; the server is this process."""

import errno
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from medgan_course import data
from medgan_course.data import files
from medgan_course.errors import CourseError

pytestmark = pytest.mark.usefixtures("no_network", "empty_home")


@pytest.fixture
def server(tiny):
    """Run a web server that delivers the tiny set, unless told otherwise."""
    state = SimpleNamespace(
        status=200, content=tiny.official, promised=None, requests=0, ranges=True, asked=[]
    )
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests += 1
            if state.status is None and released.wait(2):  # say nothing for long
                return
            state.asked.append(self.headers["Range"])
            status, start = state.status or 200, 0
            if self.headers["Range"] and state.ranges:
                start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
                status = 206 if start < len(state.content) else 416
            content = b"" if status == 416 else state.content[start:]
            self.send_response(status)
            self.send_header("Content-Length", str(state.promised or len(content)))
            self.end_headers()
            self.wfile.write(content)

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
    # Not under the file's name, so nobody takes it for the file.
    assert left_behind(empty_home) == ["tinymnist.npz.part"]


def test_stopped_by_the_keyboard(server, empty_home, monkeypatch):
    """What has come stays, nobody is locked out, and the next call brings the file."""

    class Stop(KeyboardInterrupt):
        pass

    def stop(bar, n):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr("tqdm.tqdm.update", stop)
        with pytest.raises(Stop):
            data.load("tinymnist")
    assert left_behind(empty_home) == ["tinymnist.npz.part"]
    assert "the official bytes" in data.load("tinymnist").source
    assert left_behind(empty_home) == ["tinymnist.npz"]


@pytest.fixture
def half(server, empty_home):
    """Leave what a transfer that broke off leaves, and return its path."""
    (empty_home / ".medmnist").mkdir()
    path = empty_home / ".medmnist" / "tinymnist.npz.part"
    path.write_bytes(server.content[:1000])
    return path


def test_the_next_call_takes_it_up_where_it_broke_off(server, half, empty_home):
    assert "the official bytes" in data.load("tinymnist").source
    assert server.asked == ["bytes=1000-"]
    assert left_behind(empty_home) == ["tinymnist.npz"]


def test_a_server_that_cannot_go_on_starts_afresh(server, half, empty_home):
    server.ranges = False
    assert "the official bytes" in data.load("tinymnist").source
    assert left_behind(empty_home) == ["tinymnist.npz"]


def test_more_than_all_of_it_starts_afresh(server, half, empty_home):
    half.write_bytes(server.content + b"and more")
    assert "the official bytes" in data.load("tinymnist").source
    assert [bool(asked) for asked in server.asked] == [True, False]
    assert left_behind(empty_home) == ["tinymnist.npz"]


def test_half_of_another_file_is_not_kept(server, half, empty_home):
    half.write_bytes(b"x" * 1000)
    with pytest.raises(CourseError, match="does not have the checksum"):
        data.load("tinymnist")
    assert left_behind(empty_home) == []
    assert "the official bytes" in data.load("tinymnist").source


OTHER = """
import sys, urllib.request
from pathlib import Path
from filelock import FileLock
url, path = sys.argv[1], Path(sys.argv[2])
with FileLock(path.with_name(f".{path.name}.lock")):
    print("held", flush=True)
    sys.stdin.readline()
    path.write_bytes(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url).read())
"""


@pytest.fixture
def other(server, empty_home):
    """Start another process that is in the middle of the download; a line on its stdin lets it finish."""
    path = empty_home / ".medmnist" / "tinymnist.npz"
    path.parent.mkdir()
    url = data.card("tinymnist").file(28).url
    # A fork of this process would take the server's thread along; importing the course takes seconds.
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, url, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_two_processes_and_one_download(server, other, empty_home, monkeypatch):
    said = []

    def say(text):
        if not said:
            print(file=other.stdin, flush=True)
        said.append(text)

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=say, flush=lambda: None))
    loaded = data.load("tinymnist")
    assert "".join(said) == "Another process is downloading tinymnist.npz: waiting for it.\n"
    assert "the official bytes" in loaded.source
    assert server.requests == 1
    assert other.wait(10) == 0
    assert left_behind(empty_home) == ["tinymnist.npz"]


def test_a_process_that_is_killed_blocks_nobody(server, other, empty_home):
    other.kill()
    other.wait(10)
    assert "the official bytes" in data.load("tinymnist").source
    assert server.requests == 1
    assert left_behind(empty_home) == ["tinymnist.npz"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="nothing is read-only for root")
def test_read_only_home(server, empty_home):
    (empty_home / ".medmnist").mkdir(mode=0o500)
    assert "~/.medmnist cannot be written" in data.load("tinymnist").source


def test_a_read_only_disk_is_said(server, empty_home, monkeypatch):
    # Permissions do not stop an administrator, so the refusal is played.
    def refuse(url, partial):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files, "_transfer", refuse)
    assert "~/.medmnist cannot be written" in data.load("tinymnist").source
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
    def fill_up(url, partial):
        partial.write_bytes(b"the beginning")
        raise OSError(number, "No space left on device")

    monkeypatch.setattr(files, "_transfer", fill_up)
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

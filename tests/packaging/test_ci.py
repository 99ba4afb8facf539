"""What the files for continuous integration call is there, and without a network means without one."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob(".github/actions/*/*.yml"), ROOT / ".gitlab-ci.yml"]
)
PREPARE = yaml.safe_load((ROOT / ".github/actions/prepare/action.yml").read_text("utf-8"))


def commands(file):
    """Return the lines of shell of a file, and the steps that hold none."""
    content = yaml.safe_load(file.read_text("utf-8"))
    if file.name == ".gitlab-ci.yml":
        jobs = [job for job in content.values() if isinstance(job, dict)]
        return [line for job in jobs for line in [*job.get("before_script", []), *job.get("script", [])]], []
    steps = content.get("runs", {}).get("steps", [])
    steps += [step for job in content.get("jobs", {}).values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines()], steps


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_it_calls_is_there(file):
    lines, steps = commands(file)
    script = "\n".join(lines)
    for name in re.findall(r"(?<![\w/])\.ci/\w+", script):
        assert os.access(ROOT / name, os.X_OK), name
    for target in re.findall(r"\bmake ([a-z]+)", script):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), target
    for step in steps:
        if step.get("uses", "").startswith("./"):
            assert (ROOT / step["uses"] / "action.yml").is_file()
            assert set(step.get("with", {})) <= set(PREPARE["inputs"])
        elif "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]), "pinned to a version"


def test_both_hosts_run_all_notebooks_without_a_network_and_everything_somewhere():
    for places in (ROOT.glob(".github/workflows/*.yml"), [ROOT / ".gitlab-ci.yml"]):
        script = "\n".join(line for place in places for line in commands(place)[0])
        assert ".ci/offline make notebooks" in script
        assert ".ci/run" in script


def test_every_option_of_nbval_is_one():
    texts = [file.read_text("utf-8") for file in [*FILES, ROOT / "Makefile"]]
    used = {option for text in texts for option in re.findall(r"--nbval[\w-]*", text)}
    plugin = Path(find_spec("nbval").origin).with_name("plugin.py").read_text("utf-8")
    assert {"--nbval-lax", "--nbval-cell-timeout"} <= used
    assert used <= set(re.findall(r"'(--nbval[\w-]*)'", plugin))


def test_all_notebooks_run_two_at_a_time_on_the_cpu_with_a_limit():
    notebooks = (ROOT / "Makefile").read_text("utf-8").partition("\nnotebooks:")[2].partition("\n\n")[0]
    smoke = re.search(r"^SMOKE := (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)[1]
    for option in ("$(SMOKE)", "-n 2", "--dist loadfile", "chapters solutions exercises"):
        assert option in notebooks
    assert "CUDA_VISIBLE_DEVICES=" in smoke.split()


TRY = """
import json, os, socket, urllib.request
with socket.create_server(("127.0.0.1", 0)) as server:  # as Jupyter does
    socket.create_connection(server.getsockname(), timeout=5).close()
try:
    urllib.request.urlopen("http://192.0.2.1/", timeout=20)
    said = "an answer"
except OSError as error:
    said = str(error)
names = [name for _, name in socket.if_nameindex()]
print(json.dumps([said, os.getuid(), names, urllib.request.getproxies()]))
"""


@pytest.mark.parametrize("permitted", [True, False])
def test_without_a_network_only_the_loopback_answers(permitted, tmp_path):
    if not sys.platform.startswith("linux") or shutil.which("bash") is None:
        pytest.skip("for CI on Linux")
    path = os.environ["PATH"]
    if not permitted:
        refusing = tmp_path / "unshare"
        refusing.write_text("#!/bin/sh\nexit 1\n")
        refusing.chmod(0o755)
        path = f"{tmp_path}:{path}"
    done = subprocess.run(
        [ROOT / ".ci/offline", sys.executable, "-c", TRY],
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
    )
    said, user, interfaces, proxies = json.loads(done.stdout)
    told = "The network cannot be cut off here" in done.stderr
    assert told or interfaces == ["lo"]
    assert told or permitted
    assert ("refused" if told else "unreachable") in said
    assert not told or all(proxies[name] == "http://127.0.0.1:9" for name in ("http", "https"))
    assert user == os.getuid()


def test_what_it_runs_keeps_its_arguments_and_its_exit_status():
    done = subprocess.run(
        [ROOT / ".ci/offline", "sh", "-c", 'printf %s "$2"; exit 3', "sh", "a", "b c"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (3, "b c")

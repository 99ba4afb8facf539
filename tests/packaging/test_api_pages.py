"""The pages about the library: the example runs, and every public module is on one of them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "medgan_course"
# What no user of the library calls: commands, and the checks behind exercises.check.
INTERNAL = re.compile(
    r"(.*\.)?(cli|__main__|record_runs|recorded_runs|generate|answer|divided|command|checks_\w+|checks)"
)


def modules():
    """Return the dotted names, without the package's, of all modules that say something themselves."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            # One that only gathers what its modules define would show everything twice.
            if not re.search(r"^(def|class) ", path.read_text("utf-8"), re.MULTILINE):
                continue
            parts = parts[:-1]
        name = ".".join(parts)
        if name and not INTERNAL.fullmatch(name):
            names.add(name)
    return names


def test_every_public_module_is_on_a_page_once():
    pages = "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "book").glob("api-*.md")))
    shown = re.findall(r"automodule:: medgan_course\.(\S+)", pages)
    assert sorted(shown) == sorted(modules())


def test_the_example_runs_and_resumes(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", (ROOT / "book" / "api.md").read_text("utf-8"), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code.replace("steps=20", "steps=2"), names)
    assert [len(values) for values in names["history"].values()] == [2, 2, 2]
    assert (tmp_path / "runs" / "mine.safetensors").is_file()
    exec(code.replace("steps=20", "steps=3"), names)
    assert [len(values) for values in names["history"].values()] == [3, 3, 3]

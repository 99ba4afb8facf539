"""pyproject.toml, environment.yml and requirements.lock agree, and none of them pins what Colab has."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK = (ROOT / "requirements.lock").read_text("utf-8")

# Lines of Colab's own package list, of the day in the file's name; Python there is 3.13.
COLAB = Path(__file__).with_name("colab-2026-08-19.txt")
COLAB_WHOLE = ROOT.parent / "shared" / "colab-pip-freeze.txt"
COLAB_PYTHON = default_environment() | {
    "python_version": "3.13",
    "python_full_version": "3.13.5",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "os_name": "posix",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "extra": "",
}

CONDA_NAMES = {"pytorch": "torch"}
IMPORT_NAMES = {"PIL": "pillow", "sklearn": "scikit-learn"}


def requirements(*lists):
    """Return name to specifier of requirements, without the project's own extras."""
    found = {}
    for text in (text for one in lists for text in one):
        requirement = Requirement(text)
        if canonicalize_name(requirement.name) != PROJECT["name"]:
            found[canonicalize_name(requirement.name)] = requirement.specifier
    return found


def declared():
    return requirements(
        PROJECT["dependencies"],
        *(EXTRAS[name] for name in ("book", "grade", "several", "tensorboard", "test")),
    )


def locked():
    """Return name to the versions the lock may install, one for each of its markers."""
    versions = {}
    for line in LOCK.splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            versions.setdefault(canonicalize_name(requirement.name), []).append(pin.version)
    return versions


def conda():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    (by_pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    by_conda = [entry for entry in dependencies if isinstance(entry, str)]
    return by_conda, by_pip


def freeze(path):
    """Return name to version of a ``pip freeze`` listing, without what came from elsewhere than an index."""
    lines = path.read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def changed_on_colab(colab, needs, requirements_of=requires):
    """Return a sentence for each requirement that would mean a change of ``colab``.

    A package that is there and fits stays, and pip looks no further. One that is not there is installed, so
    its own requirements count as well.
    """
    problems, waiting, seen = [], [(Requirement(text), PROJECT["name"]) for text in needs], set()
    while waiting:
        requirement, wanted_by = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate(COLAB_PYTHON):
            continue
        if name in colab:
            if not requirement.specifier.contains(colab[name], prereleases=True):
                problems.append(f"{wanted_by} needs {requirement}, Colab has {colab[name]}")
        elif name not in seen:
            seen.add(name)
            try:
                waiting += [(Requirement(text), name) for text in requirements_of(name) or ()]
            except PackageNotFoundError:
                problems.append(f"{wanted_by} needs {name}, which neither Colab nor this environment has")
    return problems


@pytest.mark.parametrize("path", [COLAB, COLAB_WHOLE], ids=["the lines that matter", "the whole list"])
def test_an_installation_changes_nothing_that_colab_has(path):
    if not path.exists():
        pytest.skip(f"no {path.name} beside the repository")
    colab = freeze(path)
    assert {"torch", "numpy"} <= set(colab)
    assert changed_on_colab(colab, PROJECT["dependencies"]) == []


def test_a_change_on_colab_would_be_found():
    colab = {"torch": Version("2.11.0+cu128"), "numpy": Version("2.1.3")}
    tree = {"new": ["numpy<2", "torch>2 ; python_version < '3.12'", "deep"], "deep": ["torch>=2.12"]}
    assert changed_on_colab(colab, ["torch>=2.4", "new"], tree.__getitem__) == [
        "deep needs torch>=2.12, Colab has 2.11.0+cu128",
        "new needs numpy<2, Colab has 2.1.3",
    ]


def test_colab_lines_are_those_of_the_whole_list():
    if not COLAB_WHOLE.exists():
        pytest.skip(f"no {COLAB_WHOLE.name} beside the repository")
    whole = freeze(COLAB_WHOLE)
    assert freeze(COLAB).items() <= whole.items()
    # A package of ours that Colab gains must be in the copy too, or the copy would prove less than the whole.
    assert {name for name in requirements(PROJECT["dependencies"]) if name in whole} <= set(freeze(COLAB))


def test_colabs_python_is_supported():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(8, 20) if f"3.{minor}.1" in supported] == [11, 12, 13]


def test_the_library_imports_only_what_it_declares():
    always, on_demand = set(), set()
    for path in (ROOT / "medgan_course").rglob("*.py"):
        module = ast.parse(path.read_text("utf-8"))
        always |= imported(module.body)
        on_demand |= imported(ast.walk(module))
    assert always <= set(requirements(PROJECT["dependencies"]))
    on_demand.discard("IPython")  # imported only where a kernel, which brings it, is running
    assert on_demand <= set(declared())


def imported(nodes):
    """Return the third-party projects whose modules these nodes import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    third_party = names - set(sys.stdlib_module_names) - {"medgan_course"}
    return {IMPORT_NAMES.get(name, name.replace("_", "-")) for name in third_party}


def test_numpy_and_torch_have_no_upper_bound():
    for name in ("numpy", "torch"):
        assert {pin.operator for pin in declared()[name]} == {">="}


def test_conda_names_the_same_things_with_the_same_bounds():
    by_conda, by_pip = conda()
    assert "-e ." in by_pip
    listed = [entry for entry in [*by_conda, *by_pip] if entry not in ("pip", "-e .")]
    found = requirements(
        re.sub(r"^(pytorch)\b", lambda match: CONDA_NAMES[match[1]], entry) for entry in listed
    )
    assert found.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert found == declared()


def test_the_lock_satisfies_every_bound():
    versions = locked()
    for name, specifier in declared().items():
        assert versions.get(name), f"{name} is not in requirements.lock: run make lock"
        for version in versions[name]:
            assert specifier.contains(version), f"requirements.lock has {name} {version}, not {specifier}"


def test_the_lock_holds_no_address():
    assert not re.search(r"://|--index|--find-links|^-e | @ |--hash", LOCK, re.MULTILINE)

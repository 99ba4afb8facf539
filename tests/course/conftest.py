import pytest
from small_course import NAME, write_solution

from medgan_course import course


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("repository")
    write_solution(root)
    return root


@pytest.fixture(scope="module")
def folder(repository, tmp_path_factory):
    """Return an nbgrader course that nothing has been released from."""
    folder = tmp_path_factory.mktemp("class") / "course"
    assert course.init(repository, folder) == [NAME]
    return folder

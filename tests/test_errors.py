import pickle

import click
from click.testing import CliRunner

from medgan_course.errors import CourseError


def test_a_command_prints_the_sentence_and_exits_with_1():
    @click.command()
    def command():
        raise CourseError("There is no set 'cat': choose another.")

    result = CliRunner().invoke(command)
    assert result.exit_code == 1
    assert result.output == "Error: There is no set 'cat': choose another.\n"


def test_a_notebook_shows_the_sentence_without_a_traceback():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell()
    with capture_output() as shown:
        shell.run_cell("from medgan_course.errors import CourseError\nraise CourseError('Say this.')")
    assert shown.stdout.strip() == "CourseError: Say this."


def test_it_reads_as_its_sentence_and_survives_a_process_boundary():
    error = pickle.loads(pickle.dumps(CourseError("Say this.")))
    assert str(error) == "Say this."

"""The command line called in this process."""

from typer.testing import CliRunner

from pathwayae import cli

RUNNER = CliRunner()


def run(*arguments):
    return RUNNER.invoke(cli.app, [str(argument) for argument in arguments])


def done(*arguments):
    """A command that must succeed."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def error_of(result, code=3):
    """The one line that tells the error of a failed command; before it stand messages of the work alone."""
    assert result.exit_code == code, result.output
    *before, last = result.stderr.splitlines()
    assert last.startswith("error: ")
    assert not any(line.startswith(("error", "Traceback")) for line in before)
    assert result.stdout == ""
    return last

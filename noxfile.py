"""Every gate of the project, each runnable alone: ``nox -s NAME``."""

import nox

nox.options.default_venv_backend = (
    "uv|virtualenv"  # uv links its cached files; torch alone has 6 GB
)
nox.options.sessions = ["tests", "lint", "types", "docs"]

PROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> list[str]:
    """Return the requirements of one dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests and doctests with branch coverage, gated at 95 %."""
    # Tests start many processes, each of which would compile torch and its company anew
    session.install("-e", ".", *group("tests"), env={"UV_COMPILE_BYTECODE": "1"})
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and lint."""
    session.install(*group("lint"))
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the annotations of sources, tests, examples, benchmarks, scripts and this file."""
    session.install("-e", ".", *group("tests"), *group("types"))
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken reference fails."""
    session.install("-e", ".", *group("docs"))
    session.run(
        "sphinx-build", "-n", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html"
    )


@nox.session
def example(session: nox.Session) -> None:
    """Run the whole pipeline on the synthetic challenge, or on --data DIR."""
    session.install("-e", ".")
    session.run("python", "examples/isic_challenge.py", *session.posargs)

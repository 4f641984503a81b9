"""Every gate of the project, each runnable alone: ``nox -s NAME``."""

import nox

nox.options.default_venv_backend = (
    "uv|virtualenv"  # uv links its cached files; torch alone has 6 GB
)
nox.options.sessions = ["tests", "light", "lint", "types", "docs"]

PROJECT = nox.project.load_toml("pyproject.toml")
# Tests start many processes, each of which would compile torch and its dependencies again
COMPILED = {"UV_COMPILE_BYTECODE": "1"}


def group(name: str) -> list[str]:
    """Return the requirements of one dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the default tests and doctests, one process per core: for a contributor's patience."""
    session.install("-e", ".[all]", *group("tests"), env=COMPILED)
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Run all tests, the slow ones too, with branch coverage gated at 95 %."""
    session.install("-e", ".[all]", *group("tests"), env=COMPILED)
    session.run("pytest", "-n", "auto", "-m", "slow or not slow", "--cov", *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the default tests on the oldest versions that pyproject.toml names."""
    oldest = ("--resolution", "lowest-direct") if session.venv_backend == "uv" else ()
    session.install(*oldest, "-e", ".[all]", *group("tests"), env=COMPILED)
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def light(session: nox.Session) -> None:
    """Install the wheel alone, without extras, and use what must work there."""
    session.install(".")
    session.chdir(session.create_tmp())
    session.run("python", f"{session.invoked_from}/tests/light_install.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, lint and the layers of the package."""
    session.install(*group("lint"))
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "src"})


@nox.session
def types(session: nox.Session) -> None:
    """Check the annotations of sources, tests, examples, benchmarks, scripts and this file."""
    session.install("-e", ".[all]", *group("tests"), *group("types"))
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken reference fails."""
    session.install("-e", ".[all]", *group("docs"))
    session.run(
        "sphinx-build", "-n", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html"
    )


@nox.session
def example(session: nox.Session) -> None:
    """Run the whole pipeline on the synthetic challenge, or on --data DIR."""
    session.install("-e", ".[all]")
    session.run("python", "examples/isic_challenge.py", *session.posargs)

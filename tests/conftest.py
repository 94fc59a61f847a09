"""Options of all tests."""

import signal

import pytest
from hypothesis import settings

# A busy machine is no failure: what may not take long has a test of its own.
settings.register_profile("keryx", deadline=None)
settings.load_profile("keryx")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", default="", help="seeds of the chaos rounds, separated by spaces")
    parser.addoption("--soak", action="store_true", help="many more rounds of what is broken at random moments")


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and all that tests start would inherit it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        for item in items:
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How many times the usual number of rounds to do."""
    return 10 if request.config.getoption("--soak") else 1


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        given = str(metafunc.config.getoption("--seeds")).split()
        usual = range(1, 51) if metafunc.config.getoption("--soak") else range(1, 3)
        metafunc.parametrize("seed", [int(one) for one in given] or usual)

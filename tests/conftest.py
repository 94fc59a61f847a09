"""Options of all tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="many more rounds of what is broken at random moments")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        for item in items:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How many times the usual number of rounds to do."""
    return 10 if request.config.getoption("--soak") else 1

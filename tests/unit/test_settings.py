"""The limits of scripts come from the environment."""

from __future__ import annotations

import pytest

from events.errors import UserError
from events.scripting.link import Limits
from events.settings import read, script_limits


def test_without_a_word_scripts_have_the_usual_limits() -> None:
    assert script_limits({}) == read({}).script_limits == Limits()


def test_the_environment_sets_seconds_and_mebibytes() -> None:
    assert script_limits({"KERYX_SCRIPT_SECONDS": "2.5", "KERYX_SCRIPT_MEMORY": "512"}) == Limits(2.5, 512 << 20)


@pytest.mark.parametrize("name", ["KERYX_SCRIPT_SECONDS", "KERYX_SCRIPT_MEMORY"])
@pytest.mark.parametrize("text", ["much", "-1", "1e12"])
def test_what_is_no_limit_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(UserError, match=name):
        script_limits({name: text})

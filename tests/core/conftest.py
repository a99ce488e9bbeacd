"""Fixtures of the rules' tests."""

from collections.abc import Callable

import pytest

from tests.core.playbook import Playbook, service_spec


@pytest.fixture
def play() -> Callable[..., Playbook]:
    """Return a maker of playbooks: keyword arguments change the service's specification."""

    def make(backends_count: int = 12, frontends_count: int = 1, **changes: object) -> Playbook:
        return Playbook(service_spec(backends_count, **changes), frontends_count=frontends_count)

    return make

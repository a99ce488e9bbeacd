"""Seeds of actors."""

import os
import subprocess
import sys

from swayam_proxy.sim.streams import array_stream, child_seed, scalar_stream


def test_a_child_depends_on_root_and_name_only() -> None:
    """Other children never shift a stream; another root, name or number does."""
    assert scalar_stream(1, "frontend", 3).random() == scalar_stream(1, "frontend", 3).random()
    seeds = {child_seed(root, name, number) for root in (1, 2) for name in ("a", "b") for number in (1, 11)}
    assert len(seeds) == 8
    assert array_stream(1, "x").random() == array_stream(1, "x").random()


def test_seeds_are_the_same_in_every_process() -> None:
    """A child's seed does not depend on the randomised hash of strings."""
    code = "from swayam_proxy.sim.streams import child_seed; print(child_seed(7, 'fleet', 2))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {f"{child_seed(7, 'fleet', 2)}\n"}

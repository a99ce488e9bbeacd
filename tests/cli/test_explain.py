"""swayam explain: the words for a decision."""

import pytest

from swayam_proxy.cli.explain import lines_of


def _explanation(**changes: object) -> dict:
    decision: dict[str, object] = {
        "needs": 9,
        "model_needs": 9,
        "reason": "steady",
        "binding": "promise",
        "rate_per_s": 20.0,
        "global_rate_per_s": 80.0,
        "frontends_count": 4,
        "forecast_per_s": 21.0,
        "global_forecast_per_s": 83.5,
        "forecast_spread_per_s": 2.0,
        "horizon_s": 3.0,
        "load_per_s": 84.0,
        "execution_mean_s": 0.05,
        "execution_cv": 0.3,
        "samples_count": 500.0,
        "fit_ks": 0.012,
        "attainment": [[8, 0.981], [9, 0.9931], [10, 0.997]],
        "policy": "p2c",
        "utilisation": 0.47,
        "feasible": True,
        **changes,
    }
    held = decision["needs"] > decision["model_needs"]
    return {
        "service_name": "digits",
        "decision": decision,
        "in_force_for_s": 42.0,
        "held": held,
        "grows_above_per_s": 91.2,
        "shrinks_below_per_s": 77.0,
        "grows_above_execution_s": 0.0543,
    }


def test_an_explanation_tells_every_input_and_what_would_change_it() -> None:
    """Rate own and global, F, forecast and spread, fit, attainment around n, since when, what changes it."""
    text = "\n".join(lines_of(_explanation()))
    for words in (
        "digits: 9 backends needed (steady)",
        "for 42 s",
        "own rate    20.0/s now, all 4 frontends 80.0/s",
        "spread 2.0, in 3.0 s",
        "mean 50.0 ms, cv 0.30, from 500 samples",
        "8: 98.100%, 9: 99.310%, 10: 99.700%",
        "one backend less would break it",
        "more above a load of 91.2/s",
        "less below a load of 77.0/s",
        "more above a mean execution of 54.3 ms",
    ):
        assert words in text, text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_needs": 5}, "the hold: 5 would do now"),
        ({"feasible": False, "reason": "infeasible"}, "no number of backends keeps it"),
        ({"reason": "max", "model_needs": 14}, "your max: the model asks for 14"),
        ({"binding": "load"}, "could not carry it"),
        ({"binding": "idle"}, "no load"),
    ],
)
def test_each_binding_constraint_has_its_words(changes: dict, words: str) -> None:
    """Whatever binds is said."""
    assert words in "\n".join(lines_of(_explanation(**changes)))

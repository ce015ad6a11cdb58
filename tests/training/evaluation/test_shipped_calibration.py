"""The calibration that is shipped beside the scout is the scout's."""

from pathlib import Path

from conventions import confidence
from training.evaluation import calibration

SCOUT = Path(__file__).parents[3] / "serving" / "weights" / "scout"


def test_it_was_fitted_on_the_weights_beside_it() -> None:
    """New weights need `tokenjoule calibrate`: the cascade would judge answers that it knows nothing of."""
    assert calibration.stale(SCOUT / confidence.FILE) is None
    assert confidence.read(SCOUT / confidence.FILE).model == "scout"

"""What the stated error of one part consists of, read back from stored rows: the meter, the published form, the rest.

Only the sum of the variances is stored (``split``). Two of its terms follow from what stands beside it; constants,
steps at an export, a prompt's step, company, a guessed idle power and what a hole adds are the rest. It is about right:
the constants that were stored nearest in time need not be those that were used.
"""

from collections.abc import Iterable
from math import sqrt

from analytics.ledger.split import FORM, NOISE_FLOOR

METER, PUBLISHED_FORM, REST = "meter", "form", "rest"


def error_terms(
    se_j: float, components: Iterable[float], share: float, residual_j: float, usual_j: float
) -> dict[str, float]:
    """Standard errors [J] by term, whose squares sum to that of ``se_j``.

    ``components``: the part's joules by component; ``share``: its part of what the interval's energy was split over;
    ``residual_j``: of the interval, before levelling; ``usual_j``: root mean square of the fit's residuals.
    """
    form = FORM * sqrt(sum(joules**2 for joules in components))
    noise = max(abs(residual_j), NOISE_FLOOR * usual_j)
    meter = min(share * noise, sqrt(max(se_j**2 - form**2, 0.0)))
    form = min(form, se_j)
    return {METER: meter, PUBLISHED_FORM: form, REST: sqrt(max(se_j**2 - meter**2 - form**2, 0.0))}

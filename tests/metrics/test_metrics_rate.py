"""Progressive coding: closed forms and the sum over steps (arXiv:2006.11239, 4.3)."""

import numpy as np
import pytest

from ldmbench.errors import InputError
from ldmbench.metrics.rate import cumulative_rate, step_weights


def schedule(T=50):
    return np.cumprod(1 - np.linspace(0.01, 0.2, T))


def test_weights_are_those_of_the_posterior_kl():
    abar = schedule()
    t = 7
    alpha = abar[t] / abar[t - 1]
    beta = 1 - alpha
    variance = beta * (1 - abar[t - 1]) / (1 - abar[t])
    # KL between two Gaussians of equal variance whose means differ as eps differs by 1 (eq. 11)
    difference = beta / np.sqrt(alpha * (1 - abar[t]))
    assert step_weights(abar)[t] == pytest.approx(difference**2 / (2 * variance), rel=1e-12)
    assert step_weights(abar)[0] == 0


def test_a_perfect_model_spends_the_prior_alone():
    abar = schedule()
    t = np.array([0.0, 10.0, 49.0])
    assert np.all(cumulative_rate(t, np.zeros(3), abar, prior=1.5) == 1.5)


def test_the_rate_grows_towards_t_0_and_sums_every_step():
    abar = schedule()
    t = np.arange(50, dtype=np.float64)
    rate = cumulative_rate(t, np.ones(50), abar, prior=0.0)
    assert np.all(np.diff(rate) <= 0)
    assert rate[-1] == 0
    assert rate[0] == pytest.approx(step_weights(abar)[1:].sum())


@pytest.mark.parametrize("bad", [[0.5, 0.6], [1.5, 0.5], [0.5, -0.1]])
def test_what_is_no_schedule_is_refused(bad):
    with pytest.raises(InputError, match="must fall within"):
        step_weights(np.array(bad))

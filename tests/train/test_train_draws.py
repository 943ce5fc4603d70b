"""What a step draws depends on (step, index in the batch); parts of a batch make up the whole."""

import pytest
import torch
from test_train_stand_in import denoiser_job

from ldmbench.schema.models import AutoencoderParams, DenoiserParams
from ldmbench.train.draws import Draws, draws_at, parts_of

CPU = torch.device("cpu")


def times(count, g):
    return torch.randint(1000, (count,), generator=g)


def draw(step, *, batch=32):
    return draws_at(step, seed=3, shape=(batch, 3, 4, 4), times=times, drop=0.25, device=CPU)


def test_parts_of_a_batch_draw_what_the_batch_draws():
    whole = draw(7)
    for count in (1, 3, 4, 40):
        parts = parts_of(slice(0, 32), count)
        assert len(parts) == min(count, 32)
        joined = Draws(*(torch.cat(some) for some in zip(*(draw(7).of(rows) for rows in parts))))
        assert all(torch.equal(a, b) for a, b in zip(joined, whole))
    assert not torch.equal(draw(8).noise, whole.noise)
    assert 0 < int(whole.dropped.sum()) < 32


def test_draws_are_those_of_one_generator_of_the_step():
    from ldmbench.train.inputs import generator_at

    g = generator_at("train-denoiser", 3, 7, CPU)
    times = torch.randint(1000, (32,), generator=g)
    noise = torch.randn(32, 3, 4, 4, generator=g)
    assert torch.equal(draw(7).times, times)
    assert torch.equal(draw(7).noise, noise)


def weights_after(steps, **fields):
    job = denoiser_job(CPU, conditioning="class", batch=32, **fields)
    losses = [float(job.step(n, 0.0)) for n in range(steps)]
    return losses, {name: p.detach().clone() for name, p in job.model.named_parameters()}


@pytest.mark.parametrize("accumulate", [4, 5])
def test_a_batch_in_parts_trains_as_the_whole(accumulate):
    losses, whole = weights_after(4)
    also, parts = weights_after(4, accumulate=accumulate)
    assert also == pytest.approx(losses, rel=1e-4)
    largest = max(float(p.abs().max()) for p in whole.values())
    apart = max(float((p - parts[name]).abs().max()) for name, p in whole.items())
    assert apart <= 2e-4 * largest  # AdamW makes a step of rounding noise where a gradient is 0


@pytest.mark.parametrize("noun", [AutoencoderParams, DenoiserParams])
def test_fields_that_came_later_are_not_written_at_their_defaults(noun):
    first = noun.FIRST.split()
    assert set(noun().model_dump()) == set(first) <= set(noun.model_fields)

    later = DenoiserParams(accumulate=2).model_dump()
    assert later["accumulate"] == 2

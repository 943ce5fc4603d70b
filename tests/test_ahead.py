"""What is made ahead comes in order, fails where it is used, and is never waited for in vain."""

import threading

import pytest

from ldmbench.ahead import ahead


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_order_and_items_stay(depth):
    assert list(ahead(iter(range(7)), depth=depth)) == list(range(7))
    assert list(ahead([], depth=depth)) == []


def test_the_next_item_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(made):
            event.set()
            yield number

    found = ahead(items(), depth=2)
    assert next(found) == 0
    assert made[2].wait(timeout=10)  # two more than are used
    assert not made[3].is_set()


def test_an_error_is_raised_where_its_item_is_used():
    def items():
        yield 1
        raise OSError("damaged")

    found = ahead(items(), depth=2)
    assert next(found) == 1
    with pytest.raises(OSError, match="damaged"):
        next(found)
    unused = ahead(items(), depth=2)
    assert next(unused) == 1
    unused.close()

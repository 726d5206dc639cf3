import threading
import time

import pytest

from heteroscope.data import ahead
from heteroscope.data.ahead import map_ahead


@pytest.mark.parametrize("workers", [1, 4])
def test_results_come_in_order_and_one_by_one(workers: int) -> None:
    def square(value: int) -> int:
        time.sleep(0.002 * (value % 3))
        return value * value

    assert list(map_ahead(square, range(30), size=lambda _: 1, workers=workers)) == [n * n for n in range(30)]


def test_what_is_begun_and_not_used_stays_within_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes 1 to 7 and one larger than the limit: the sum of all that is begun and not used never passes it."""
    monkeypatch.setattr(ahead, "BYTES_AHEAD", 10)
    sizes = [*range(1, 8), 50, *range(1, 8), 3, 3, 3]
    lock, held, seen = threading.Lock(), 0, []

    def begin(size: int) -> int:
        nonlocal held
        with lock:
            held += size
            seen.append(held)
        return size

    for size in map_ahead(begin, sizes, size=lambda size: size, workers=4):
        time.sleep(0.003)  # threads would run ahead now
        with lock:
            held -= size
    assert seen[sizes.index(50)] == 50  # alone
    assert all(now <= 10 for now in seen if now != 50)
    assert max(seen[sizes.index(50) + 1 :]) > 7  # more than one at a time, from first to last


def test_no_more_items_are_begun_than_threads_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "ITEMS_AHEAD", 5)
    begun: list[int] = []
    for used, _ in enumerate(map_ahead(begun.append, range(40), size=lambda _: 0, workers=2)):
        time.sleep(0.002)  # threads would run ahead now
        assert len(begun) <= used + 1 + 5
    assert len(begun) == 40


def test_an_error_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "BYTES_AHEAD", 1000)
    begun = []

    def fail(value: int) -> int:
        begun.append(value)
        if value == 3:
            raise ValueError("three")
        time.sleep(0.005)
        return value

    with pytest.raises(ValueError, match="three"):
        list(map_ahead(fail, range(500), size=lambda _: 1, workers=2))
    assert len(begun) < 50

"""Work of threads ahead of its use, in order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Result = TypeVar("Result")

BYTES_AHEAD = 2**29
ITEMS_AHEAD = 128  # keeps threads busy; of small images far more would fit the bytes, and hold memory for nothing


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, size: Callable[[Item], int], workers: int
) -> Iterator[Result]:
    """The results of a function in the order of its items, computed by threads while earlier ones are used.

    Args:
        function: of one item; what it raises is raised here, and no further item is begun.
        items: taken one by one.
        size: bytes that an item and its result need; at most `BYTES_AHEAD` of them are begun and not
            yet used, or a single larger item, and at most `ITEMS_AHEAD` items.
        workers: number of threads.
    """
    # these threads are all the parallelism that is wanted
    pool = ThreadPoolExecutor(workers, initializer=cv2.setNumThreads, initargs=(1,))
    begun: deque[tuple[Future[Result], int]] = deque()
    held = 0
    try:
        for item in items:
            needed = size(item)
            while begun and (held + needed > BYTES_AHEAD or len(begun) >= ITEMS_AHEAD):
                future, freed = begun.popleft()
                yield future.result()
                del future
                held -= freed
            begun.append((pool.submit(function, item), needed))
            held += needed
        while begun:
            yield begun.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)

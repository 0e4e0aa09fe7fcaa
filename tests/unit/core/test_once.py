"""A property that is computed once, also where threads ask at the same time."""

import threading
import time

from merkit.core.once import once


class Loader:
    def __init__(self) -> None:
        self.loads = 0

    @once
    def network(self) -> object:
        """What is slow to load."""
        self.loads += 1
        time.sleep(0.01)  # long enough for every thread to ask before the first one has it
        return object()


def test_threads_that_ask_at_the_same_time_get_the_same_value() -> None:
    loader, networks, barrier = Loader(), [], threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        networks.append(loader.network)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert loader.loads == 1
    assert set(networks) == {loader.network}


def test_the_class_gives_the_property_with_its_documentation() -> None:
    assert isinstance(Loader.network, once)
    assert Loader.network.__doc__ == "What is slow to load."

"""A property that is computed at its first use, once per object, also where several threads ask at the same time."""

from collections.abc import Callable
from functools import cached_property
from threading import RLock
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")


class once(cached_property[T]):  # noqa: N801 - reads as the decorator that it is
    """A ``functools.cached_property`` that holds a lock while it computes, as Python's own does no longer since 3.12.

    For what is slow to load and then shared: networks, tokenizers. The lock belongs to the property, so that an object
    can still be copied and pickled.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        super().__init__(compute)
        self._lock = RLock()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        with self._lock:
            return super().__get__(instance, owner)

"""What libraries raise unforeseen becomes an error of ours: the one place that catches all.

Around an alert, a line, a delivery and a model file: none of them must end the service.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spiir_pastro.errors import PastroError


@contextmanager
def unforeseen(
    ours: Callable[[str], PastroError], *, but: tuple[type[PastroError], ...] = (PastroError,)
) -> Iterator[None]:
    """Raise an error of ours, made of type and text, for any other; the types of ``but`` pass."""
    try:
        yield
    except but:
        raise
    except Exception as error:
        raise ours(f"{type(error).__name__}: {error}") from error

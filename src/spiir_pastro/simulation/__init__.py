"""A SPIIR campaign whose truth is known."""

__all__: list[str] = []

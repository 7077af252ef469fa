"""The outside world, read into our types once and written back."""

__all__: list[str] = []

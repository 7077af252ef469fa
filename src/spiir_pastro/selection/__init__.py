"""Which triggers count: clustering, injection matching, decontamination; columnar and pure."""

__all__: list[str] = []

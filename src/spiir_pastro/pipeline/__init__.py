"""One module a stage: simulate, extract, process, fit, evaluate."""

__all__: list[str] = []

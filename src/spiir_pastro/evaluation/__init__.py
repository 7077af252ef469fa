"""How good a model is: scores, calibration, confusion, agreement with catalogues; pure."""

__all__: list[str] = []

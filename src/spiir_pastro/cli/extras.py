"""Which extra of the distribution a module that is not installed belongs to."""

from collections.abc import Mapping

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "serve": ("confluent_kafka", "igwn_alert", "ligo.gracedb", "ligo", "prometheus_client",
              "structlog"),
    "cluster": ("dask", "dask_jobqueue", "distributed"),
    "bayestar": ("ligo.skymap", "lal", "lalsimulation"),
    "mlops": ("dvc",),
}  # fmt: skip
"""Modules by the extra of pyproject.toml that installs them."""


def remedy_for(module: str) -> str | None:
    """Say how to install what is missing; None if no extra has it.

    Examples
    --------
    >>> remedy_for("ligo.gracedb")
    "ligo.gracedb is not installed: pip install 'spiir-pastro[serve]'"
    """
    for extra, modules in EXTRAS.items():
        if any(module == name or module.startswith(f"{name}.") for name in modules):
            found = "bayestar" if module.startswith("ligo.skymap") else extra
            return f"{module} is not installed: pip install 'spiir-pastro[{found}]'"
    return None

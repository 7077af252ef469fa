"""Every error this package raises on purpose.

::

    PastroError
    ├── ConfigError      a runs file, params.yaml or listen.toml says something impossible
    ├── TableError       a file's table cannot be read or written
    ├── TriggerError     a trigger's values cannot be what they claim to be
    ├── FitError         the data do not determine the model asked for
    ├── ArtifactError    a model file is unknown, damaged or from another schema
    └── AlertError       an alert payload cannot be understood

Each message says what is wrong, where (file, line, column, event), the value, and the remedy.
"""

__all__ = [
    "AlertError",
    "ArtifactError",
    "ConfigError",
    "FitError",
    "PastroError",
    "TableError",
    "TriggerError",
]


class PastroError(Exception):
    """Base class: catch this to catch whatever spiir-pastro reports."""


class ConfigError(PastroError):
    """A settings file says something impossible."""


class TableError(PastroError):
    """A file's table cannot be read or written."""


class TriggerError(PastroError):
    """A trigger's values cannot be what they claim to be."""


class FitError(PastroError):
    """The data do not determine the model asked for."""


class ArtifactError(PastroError):
    """A model file is unknown, damaged or from another schema."""


class AlertError(PastroError):
    """An alert payload cannot be understood."""

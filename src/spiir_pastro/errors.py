"""Every error this package raises on purpose.

::

    PastroError
    ├── ConfigError      a runs file, params.yaml or listen.toml says something impossible
    ├── TableError       a file's table cannot be read or written
    │   └── NoTriggersError  a file that is as it should be holds no triggers
    ├── DocumentError    a document of ours is damaged, incomplete or from another version
    ├── IncompleteError  what a stage is to work on is missing, stale, mixed or damaged
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
    "DocumentError",
    "FitError",
    "IncompleteError",
    "NoTriggersError",
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


class NoTriggersError(TableError):
    """A file that is as it should be holds no triggers."""


class DocumentError(PastroError):
    """A document of ours is damaged, incomplete or from another version."""


class IncompleteError(PastroError):
    """What a stage is to work on is missing, stale, mixed or damaged."""


class TriggerError(PastroError):
    """A trigger's values cannot be what they claim to be."""


class FitError(PastroError):
    """The data do not determine the model asked for."""


class ArtifactError(PastroError):
    """A model file is unknown, damaged or from another schema."""


class AlertError(PastroError):
    """An alert payload cannot be understood."""

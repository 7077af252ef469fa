"""The settings of the service, ``listen.toml``, checked before anything starts.

GraceDB's production service is reached only by the word ``service = "production"``, together with
production's own alerts; a URL that leads there is refused.
"""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.drift import What

ALERTS = {"production": "gracedb", "playground": "gracedb-playground", "test": "gracedb-test"}
"""The group, that is the topics' prefix, of each service's alerts."""

SERVICES = {name: f"https://{group}.ligo.org/api/" for name, group in ALERTS.items()}

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
TopicName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_]+\Z")]
Word = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9._-]+\Z", max_length=200)]
PerDay = Annotated[float, msgspec.Meta(ge=0)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class KafkaSettings(_Section, frozen=True, kw_only=True):
    """Where alerts come from.

    Attributes
    ----------
    host, port
        The broker.
    group
        Whose alerts: the prefix of the topics, ``gracedb``, ``gracedb-playground`` or
        ``gracedb-test``.
    topics
        Names without the prefix, ``["cbc_spiir", "cbc_spiir_allsky"]``.
    consumer_group
        The name under which the broker remembers what was read, fixed for ever; at SCiMMA it
        starts with the credential's user name and a dash.
    first_start
        Where to begin when the broker remembers nothing of the group; ``earliest`` works off
        everything it still has.
    anonymous
        Use no credentials, for stand-ins; otherwise they are found by the client's own rules.
    authfile
        hop's ``auth.toml``, if not at its usual place.
    username
        Which of several credentials for the broker to use.
    """

    consumer_group: Word
    host: Word = "kafka.scimma.org"
    port: Port = 9092
    group: Word = "gracedb-playground"
    topics: Annotated[list[TopicName], msgspec.Meta(min_length=1)]
    first_start: Literal["latest", "earliest"] = "latest"
    anonymous: bool = False
    authfile: str | None = None
    username: Word | None = None


class GraceDBSettings(_Section, frozen=True, kw_only=True):
    """Where results go: a service by name, or a stand-in by URL.

    Attributes
    ----------
    service
        Which GraceDB; ``production`` also needs ``group = "gracedb"`` of the alerts.
    url
        A stand-in's, on this machine; a real GraceDB's is refused.
    anonymous
        Send no credentials, for stand-ins; otherwise they are found by the client's own rules.
    credentials
        Which kind to use; of ``all``, a SciToken, which must exist. A certificate alone is used if
        it is asked for.
    timeout_s
        Seconds to wait for a connection, and again for an answer.
    settle_s
        Seconds for which GraceDB may still be busy with a request that was given up; before that
        it is not looked whether the file arrived.
    retry_base_s, retry_limit_s
        First and longest wait between attempts, seconds.
    workers
        Uploads under way at once.
    properties
        Whether ``spiir.properties.json`` goes up beside ``spiir.p_astro.json``: HasNS, HasMassGap,
        HasRemnant and the source-frame chirp mass, if it is a signal.
    """

    service: Literal["production", "playground", "test"] = "playground"
    url: str | None = None
    anonymous: bool = False
    credentials: Literal["all", "scitoken", "x509"] = "all"
    timeout_s: Seconds = 10.0
    settle_s: Seconds = 20.0
    retry_base_s: Seconds = 1.0
    retry_limit_s: Seconds = 300.0
    workers: Annotated[int, msgspec.Meta(ge=1, le=32)] = 4
    properties: bool = False

    @property
    def api(self) -> str:
        """The URL in use."""
        return self.url or SERVICES[self.service]


class HTTPSettings(_Section, frozen=True, kw_only=True):
    """Where ``/metrics``, ``/healthz`` and the status page are served; they have no password.

    Attributes
    ----------
    host, port
        To listen on; port 0 takes a free one.
    """

    host: Word = "127.0.0.1"
    port: Port = 9460


class DriftSettings(_Section, frozen=True, kw_only=True):
    """How many events a day the model expects, and when to warn.

    Attributes
    ----------
    per_day
        Expected events a day, where the model's counts over its training span do not fit the live
        search: ``alerts``, ``signals`` (p_astro > 0.5), and any class by name.
    window_days
        How far back to count, days.
    false_alarm_probability
        Of a warning, each time a count is judged while the rate is as expected.
    """

    per_day: dict[What, PerDay] = {}
    window_days: Seconds = 7.0
    false_alarm_probability: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 1e-4


class StandbySettings(_Section, frozen=True, kw_only=True):
    """Another host beside this one, with the same ``kafka.consumer_group``; one of them answers.

    Attributes
    ----------
    takeover_s
        Within how many seconds the other answers if this host is silent; ``gracedb.settle_s`` and
        ten seconds at least.
    """

    takeover_s: Seconds = 40.0


class CountsSettings(_Section, frozen=True, kw_only=True):
    """Whether the counts of the service's own model go on with what it is asked about.

    Attributes
    ----------
    update_hours
        How often the candidates answered are added to the model's counts, as ``spiir-pastro
        update`` does, hours; 24 is once a day, 0 never.
    """

    update_hours: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class SensitivitySettings(_Section, frozen=True, kw_only=True):
    """The detectors' present sensitivity, for the service's own model.

    Attributes
    ----------
    file
        A small file that a job of the operator's keeps, from the settings' folder; read anew when
        it changes. Without it the sensitivity is that of the model's training.
    """

    file: str | None = None


class Settings(_Section, frozen=True, kw_only=True):
    """All of ``listen.toml``.

    Attributes
    ----------
    schema
        Version of this format.
    spool
        Folder of what must not be lost; on a local disk (SQLite's log does not work over NFS), one
        for each service.
    searches
        Model files of other searches than AllSky, by GraceDB's name of the search in any case, from
        the settings' folder; ``VTInjection`` for injections and ``offline`` for offline uploads.
    keep_days
        How long answered events are remembered, days; longer than the broker keeps alerts.
    updates
        Whether a later ``update`` or ``new`` alert of an event with another FAR or template is
        answered again, once, as a new version of the file.
    backfill_minutes
        How often GraceDB is searched for events of the last day without our file, minutes; 0 never.
    """

    schema: Literal[1]
    spool: str
    kafka: KafkaSettings
    gracedb: GraceDBSettings = GraceDBSettings()
    http: HTTPSettings = HTTPSettings()
    drift: DriftSettings = DriftSettings()
    standby: StandbySettings | None = None
    counts: CountsSettings = CountsSettings()
    sensitivity: SensitivitySettings = SensitivitySettings()
    searches: dict[Word, str] = {}
    keep_days: Seconds = 90.0
    updates: bool = False
    backfill_minutes: Annotated[float, msgspec.Meta(ge=0)] = 60.0

    @classmethod
    def load(cls, path: Path) -> "Settings":
        """Read and check a settings file.

        ConfigError if it cannot be read, or says something unknown, impossible or contradictory.
        """
        try:
            settings = msgspec.convert(tomllib.loads(path.read_text()), cls)
        except OSError as exc:
            raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise ConfigError(f"{path} is no TOML: {exc}") from exc
        except msgspec.ValidationError as exc:
            raise ConfigError(f"{path}: {exc}; docs/reference/files.md has the keys") from exc
        settings.require_consistent(path)
        found = {name: str(path.parent / file) for name, file in settings.searches.items()}
        file = settings.sensitivity.file
        sensitivity = SensitivitySettings(file=None if file is None else str(path.parent / file))
        return msgspec.structs.replace(settings, searches=found, sensitivity=sensitivity)

    @property
    def models(self) -> dict[str, Path]:
        """Model files of other searches, by name."""
        return {name: Path(file) for name, file in self.searches.items()}

    def require_consistent(self, path: Path) -> None:
        """Refuse what would carry alerts of one GraceDB to another, or cannot be kept."""
        shortest_s = self.gracedb.settle_s + 10.0
        if self.standby is not None and self.standby.takeover_s < shortest_s:
            raise ConfigError(
                f"{path}: standby.takeover_s is {self.standby.takeover_s:g}; GraceDB may be busy "
                f"for gracedb.settle_s, so give it {shortest_s:g} or more"
            )
        names = Counter(name.lower() for name in self.searches)
        for name, count in names.items():
            if count > 1:
                raise ConfigError(f"{path}: searches names {name} {count} times; keep one")
        kafka, gracedb = self.kafka, self.gracedb
        if gracedb.url is not None:
            parts = urlsplit(gracedb.url)
            real = {urlsplit(url).hostname for url in SERVICES.values()}
            if parts.scheme not in ("http", "https") or parts.hostname in {*real, None}:
                raise ConfigError(
                    f"{path}: gracedb.url is {gracedb.url!r}; it is for stand-ins only, "
                    "name a real GraceDB by gracedb.service"
                )
        elif kafka.group != ALERTS[gracedb.service]:
            raise ConfigError(
                f"{path}: alerts of {kafka.group!r} would be answered on GraceDB's "
                f"{gracedb.service} service; set kafka.group to {ALERTS[gracedb.service]!r} or "
                "gracedb.service to the one meant"
            )

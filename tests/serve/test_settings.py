"""A settings file is right, or the mistake is named; production takes an explicit word."""

from pathlib import Path

import pytest

from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.settings import Settings

GOOD = """
schema = 1
spool = "spool"
[kafka]
topics = ["cbc_spiir"]
consumer_group = "me-spiir"
"""


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "listen.toml"
    path.write_text(text)
    return Settings.load(path)


def test_playground_is_the_default(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert settings.gracedb.api == "https://gracedb-playground.ligo.org/api/"
    assert settings.kafka.group == "gracedb-playground"


def test_production_takes_the_word_and_its_own_alerts(tmp_path: Path) -> None:
    word = '[gracedb]\nservice = "production"\n'
    with pytest.raises(ConfigError, match=r"set kafka\.group to 'gracedb'"):
        load(tmp_path, GOOD + word)
    settings = load(tmp_path, GOOD + 'group = "gracedb"\n' + word)
    assert settings.gracedb.api == "https://gracedb.ligo.org/api/"
    with pytest.raises(ConfigError, match="would be answered on GraceDB's playground"):
        load(tmp_path, GOOD + 'group = "gracedb"\n')


@pytest.mark.parametrize(
    "url",
    ["https://gracedb.ligo.org/api/", "https://GRACEDB.ligo.org:443/api/", "file:///x", "nowhere"],
)
def test_a_url_never_leads_to_a_real_gracedb(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="for stand-ins only"):
        load(tmp_path, GOOD + f'[gracedb]\nurl = "{url}"\n')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing required field `schema`"),
        (GOOD.replace("schema = 1", "schema = 2"), "schema"),
        (GOOD.replace("schema = 1", "schema = "), "is no TOML"),
        (GOOD + "topic = 1", r"unknown field `topic` - at `\$\.kafka`; docs/reference/files"),
        (GOOD.replace('["cbc_spiir"]', "[]"), "topics"),
        (GOOD.replace('["cbc_spiir"]', '["a.b"]'), "topics"),
        (GOOD.replace("me-spiir", "me spiir"), "consumer_group"),
        (GOOD + "port = 70000", "port"),
        (GOOD + "[gracedb]\nservice = 'prod'", "service"),
        (GOOD + "[gracedb]\ntimeout_s = 0", "timeout_s"),
        (GOOD + "[gracedb]\nworkers = 0", "workers"),
        (GOOD + "[drift.per_day]\nBNSS = 1", "per_day"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read"):
        Settings.load(tmp_path / "none.toml")

"""A runs file is right, or every mistake in it is named before any work starts."""

import json
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.errors import ConfigError
from spiir_pastro.io import runs
from spiir_pastro.io.runs import Bank, Purpose, read_runs

_SCHEMA = Path(runs.__file__).parent / "schemas" / "runs.schema.json"

_DRAWN = {
    "primary": {"low": 5, "high": 50},
    "secondary": {"low": 5},
    "redshift": {"high": 1},
}


def _campaign(folder: Path) -> dict[str, Any]:
    """Two runs over the same data, with and without injections, with their files on disk."""
    for name in ("plain", "injected"):
        (folder / name / "000").mkdir(parents=True)
        (folder / name / "000" / "000_zerolag_100_50.xml.gz").touch()
        (folder / name / "000_SEGMENTS_100_50.xml.gz").touch()
    (folder / "bbh.xml").touch()
    shared = {"bank": "BBH", "gps_start": 100, "gps_end": 200}
    plain = {"name": "plain", "purpose": "background", "directories": ["plain"]}
    injected = {"name": "injected", "purpose": "foreground", "directories": ["injected"]}
    return {
        "runs": [plain | shared, injected | shared | {"injections": "bbh.xml", "twin": "plain"}]
    }


def _write(folder: Path, content: object) -> Path:
    path = folder / "RUNS.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_paths_start_from_the_file_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path, _campaign(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    plain, injected = read_runs(path.relative_to(tmp_path.parent)).runs
    assert (plain.bank, plain.purpose) == (Bank.BBH, Purpose.BACKGROUND)
    assert plain.trigger_files() == (tmp_path / "plain" / "000" / "000_zerolag_100_50.xml.gz",)
    assert plain.segment_files() == (tmp_path / "plain" / "000_SEGMENTS_100_50.xml.gz",)
    assert injected.injections == tmp_path / "bbh.xml"


@pytest.mark.parametrize(
    ("run", "change", "mistake"),
    [
        (1, {"bank": "XBH"}, r"runs\[1\]\.bank: 'XBH' will not do; give the template bank"),
        (0, {"name": ""}, r"runs\[0\]\.name: '' will not do"),
        (0, {"name": "../up"}, r"runs\[0\]\.name: '\.\./up' will not do"),
        (0, {"name": "injected"}, r"runs\[1\]\.name: 'injected' stands there twice"),
        (0, {"bnak": "BBH"}, r"runs\[0\]\.bnak: unknown key; keep to name, bank"),
        (0, {"directories": "plain"}, r"runs\[0\]\.directories: 'plain' will not do; give a list"),
        (0, {"directories": ["plain", 3]}, r"runs\[0\]\.directories\[1\]: 3 will not do"),
        (0, {"directories": ["gone"]}, r"runs\[0\]\.directories\[0\]: no directory .*gone"),
        (0, {"directories": ["plain", "injected"]}, r"runs\[1\]\.directories: .* run 'plain' al"),
        (0, {"triggers": ["*.dat"]}, r"runs\[0\]\.triggers: no file matches \*\.dat"),
        (0, {"triggers": ["/etc/*"]}, r"runs\[0\]\.triggers\[0\]: '/etc/\*' will not do"),
        (0, {"segments": ["a/../../*"]}, r"runs\[0\]\.segments\[0\]: 'a/"),
        (0, {"gps_start": 100.5}, r"runs\[0\]\.gps_start: 100\.5 will not do"),
        (0, {"gps_start": True}, r"runs\[0\]\.gps_start: True will not do"),
        (0, {"gps_end": 10**10}, r"runs\[0\]\.gps_end: 10000000000 will not do"),
        (1, {"gps_end": 100}, r"runs\[1\]\.gps_end: 100 is not after gps_start"),
        (1, {"injections": None}, r"runs\[1\]\.injections: missing"),
        (1, {"injections": "gone.xml"}, r"runs\[1\]\.injections: no file .*gone\.xml"),
        (0, {"injections": "bbh.xml"}, r"runs\[0\]\.injections: a background run has none"),
        (1, {"kept_fraction": 0}, r"runs\[1\]\.kept_fraction: 0 will not do"),
        (1, {"injected": {"primary": 3}}, r"runs\[1\]\.injected: no population: .*\$\.primary"),
        (1, {"injected": _DRAWN | {"spin": 1}}, r"runs\[1\]\.injected: .* spin is an unknown"),
        (
            1,
            {"injected": _DRAWN | {"redshift": {}}},
            r"runs\[1\]\.injected\.redshift\.high: missing; give the largest",
        ),
        (0, {"injected": _DRAWN}, r"runs\[0\]\.injected: a background run has no injections"),
        (0, {"twin": "injected"}, r"runs\[0\]\.twin: a background run needs no twin"),
        (1, {"twin": "gone"}, r"runs\[1\]\.twin: there is no run 'gone'"),
        (1, {"twin": "injected"}, r"runs\[1\]\.twin: 'injected' has injections too"),
        (0, {"bank": "BNS"}, r"runs\[1\]\.twin: 'plain' has bank BNS"),
        (0, {"gps_end": 150}, r"runs\[1\]\.twin: 'plain' spans GPS 100 to 150"),
        (
            1,
            {"purpose": "background", "injections": None, "twin": None},
            r"runs\[1\]\.gps_start: the background of bank BBH overlaps that of run 'plain'",
        ),
    ],
)
def test_each_mistake_names_its_key(
    tmp_path: Path, run: int, change: dict[str, Any], mistake: str
) -> None:
    content = _campaign(tmp_path)
    content["runs"][run] |= change
    with pytest.raises(ConfigError, match=mistake):
        read_runs(_write(tmp_path, content))


@pytest.mark.parametrize("key", ["name", "bank", "purpose", "directories", "gps_start", "gps_end"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = _campaign(tmp_path)
    del content["runs"][0][key]
    with pytest.raises(ConfigError, match=rf"runs\[0\]\.{key}: missing; give "):
        read_runs(_write(tmp_path, content))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    content = _campaign(tmp_path) | {"shcema": 1, "schema_version": 2}
    content["runs"][0] |= {"bank": 7, "gps_end": "x"}
    content["runs"][1] |= {"directories": ["gone", "lost"]}
    content["runs"] += [5]
    with pytest.raises(ConfigError, match="cannot be used") as raised:
        read_runs(_write(tmp_path, content))
    keys = [line.split(":")[0].strip() for line in str(raised.value).splitlines()[1:]]
    assert keys == [
        "runs[0].bank",
        "runs[0].gps_end",
        "runs[2]",
        "runs[1].directories[0]",
        "runs[1].directories[1]",
        "shcema",
        "schema_version",
    ]


def test_a_mistake_is_told_once_even_if_no_run_is_right(tmp_path: Path) -> None:
    content = _campaign(tmp_path)
    content["runs"] = [content["runs"][0] | {"bank": "XBH"}]
    with pytest.raises(ConfigError, match="cannot be used") as raised:
        read_runs(_write(tmp_path, content))
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("runs: []", r"runs: \[\] will not do"),
        ("", "the file: None is no mapping"),
        ("runs: [", "line 1: .*; correct the YAML"),
        ("a: 1\nruns: []\na: 2", "line 3: the key 'a' stands there twice"),
        ("runs: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("\xff\x00", "no YAML text"),
        ("runs: 2020-13-40", "no YAML text"),
        ("[" * 5000, "no YAML text"),
    ],
)
def test_what_is_no_runs_file_is_refused(tmp_path: Path, text: str, mistake: str) -> None:
    path = tmp_path / "RUNS.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=mistake):
        read_runs(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml cannot be read: No such file"):
        read_runs(tmp_path / "gone.yaml")


_yaml = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["runs", "name", "bank", "directories", "twin", "gps_start", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(_yaml)
def test_whatever_stands_there_the_error_is_ours(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        read_runs(_write(tmp_path_factory.getbasetemp(), content))


def test_the_template_is_a_runs_file_once_its_files_are_there(tmp_path: Path) -> None:
    (tmp_path / "RUNS.yaml").write_text((_SCHEMA.parent / "runs.template.yaml").read_text())
    for name in ("bbh", "bbh_injections", "bns/HL", "bns/HLV"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "000_zerolag_1_2.xml.gz").touch()
    (tmp_path / "injections").mkdir()
    (tmp_path / "injections" / "bbh.xml.gz").touch()
    purposes = [run.purpose for run in read_runs(tmp_path / "RUNS.yaml").runs]
    assert purposes == [Purpose.BACKGROUND, Purpose.FOREGROUND, Purpose.BACKGROUND]


def test_the_stored_schema_is_that_of_the_code() -> None:
    """After a wanted change, what the failure shows as expected goes into the file."""

    def path_as_text(kind: type) -> dict[str, Any]:
        assert kind is Path
        return {"type": "string"}

    schema = msgspec.json.schema(runs.RunsFile, schema_hook=path_as_text)
    for kind in schema["$defs"].values():
        kind["description"] = cleandoc(kind["description"])  # as Python does from 3.13 on
    expected = json.dumps(schema, indent=2) + "\n"
    assert _SCHEMA.read_text() == expected

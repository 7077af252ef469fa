import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.selection.labelling import label_known

times = st.lists(st.integers(0, 20_000_000_000), min_size=0, max_size=15)


@given(times, times, st.integers(1, 3_000_000_000))
def test_a_trigger_is_known_if_an_event_is_near(
    triggers: list[int], events: list[int], window: int
) -> None:
    catalogue = pl.DataFrame(
        {
            "gps_ns": events,
            "name": [f"GW{i}" for i in range(len(events))],
            "source_class": ["BBH"] * len(events),
            "is_known": [True] * len(events),
        },
        schema={
            "gps_ns": pl.Int64,
            "name": pl.String,
            "source_class": pl.String,
            "is_known": pl.Boolean,
        },
    )
    table = pl.DataFrame(
        {"gps_ns": triggers, "row": range(len(triggers))},
        schema_overrides={"gps_ns": pl.Int64, "row": pl.Int64},
    )
    labelled = label_known(table, catalogue, window_ns=window)
    nearest = [min((abs(t - e) for e in events), default=window + 1) for t in triggers]
    assert labelled["row"].to_list() == list(range(len(triggers)))
    assert labelled["is_known"].to_list() == [d <= window for d in nearest]
    named = dict(zip(catalogue["name"], events, strict=True))
    for t, name, distance in zip(triggers, labelled["known_event"], nearest, strict=True):
        assert (name is None) == (distance > window)
        assert name is None or abs(named[name] - t) == distance

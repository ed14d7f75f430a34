"""What is due by the moments that were set last, whatever was set and dropped before."""

from hypothesis import given
from hypothesis import strategies as st

from simian.daemon.starts import Starts

NAMES, MOMENTS = st.sampled_from("abcd"), st.integers(0, 9).map(float)
STEPS = st.one_of(
    st.tuples(st.just("set"), NAMES, MOMENTS), st.tuples(st.just("drop"), NAMES), st.tuples(st.just("due"), MOMENTS)
)


@given(st.lists(STEPS, max_size=400))
def test_it_tells_what_a_plain_dict_would_the_earliest_first(steps: list[tuple[str, ...]]) -> None:
    starts, plain = Starts(), dict[str, float]()
    for what, *told in steps:
        if what == "due":
            now = told[0]
            assert starts.due(now) == sorted(
                (name for name in plain if plain[name] <= now), key=lambda n: (plain[n], n)
            )
        elif what == "set":
            starts.set(*told)
            plain[told[0]] = told[1]
        else:
            starts.drop(*told)
            plain.pop(*told, None)
        assert starts.all() == plain
        assert all(starts.of(name) == plain.get(name) for name in "abcd")


def test_what_was_set_over_and_over_is_not_kept() -> None:
    starts = Starts()
    for at in range(10_000):
        starts.set("a", float(at))
    assert len(starts._heap) < 200
    assert starts.due(9_999.0) == ["a"]

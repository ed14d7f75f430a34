"""Experiments' files: what is right is read, what is wrong is told at once with file, line and key."""

import contextlib
import json
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simian.errors import UsageError
from simian.experiment import Experiment, experiment_schema, find_experiments, load_experiment
from simian.monkey import find_monkeys
from simian.probe import AbortCondition, Tolerance
from simian.simulation import Simulation
from simian.yamlfile import MOST_BYTES, load_yaml, parse_yaml

GOOD = """\
experiment: members survive a lost store node
hypothesis: When a store node dies, members keep starting streams.
monkey: chaos
options: {service: store, region: east, how: kill}
for: 60s
baseline: 20s
steady_state:
  - {check: streams start, probe: {users: success_share, kind: play}, tolerance: ">= 99.9 %"}
  - {check: answers, probe: {http: http://127.0.0.1:1/, expect: 204}, every: 300ms, deadline: 1s, tolerance: ">= 99 %"}
  - {check: latency, probe: {users: p99_ms}, tolerance: "<= 1.5 x baseline"}
abort: [{check: streams start, below: "95 %"}]
recover_within: 2m
exposure: assumed
tags: [store, weekly]
"""
BY_HAND = """\
experiment: by hand
stages:
  - {stage: slow link, faults: [{delay: members-east-a--cache-east-a, by: "normal:100ms,20ms"}], settle: 5s}
  - {stage: gone, faults: [{kill: store-east-a}, {kill: store-east-b}], gate: false}
"""


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def writing(text: str | bytes) -> Path:
        path = tmp_path / "e.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return writing


def problems(path: Path, **options: object) -> list[str]:
    with pytest.raises(UsageError) as raised:
        load_experiment(path, **options)  # type: ignore[arg-type]
    return [line.removeprefix(f"{path}:") for line in raised.value.problems]


@pytest.mark.parametrize("word", ["required", "assumed"])
def test_exposure_is_the_configurations_unless_an_experiment_says_another(word, write) -> None:  # type: ignore[no-untyped-def]
    own = load_experiment(write(GOOD.replace("exposure: assumed", f"exposure: {word}"))).for_request()
    assert own["exposure"] == word
    assert "exposure" not in load_experiment(write(GOOD.replace("exposure: assumed\n", ""))).for_request()


def test_an_experiment_is_read_whole(write) -> None:  # type: ignore[no-untyped-def]
    found = load_experiment(write(GOOD))
    assert (found.monkey, found.options["how"], found.for_s, found.baseline_s) == ("chaos", "kill", 60.0, 20.0)
    assert (found.recover_within_s, found.exposure, found.tags) == (120.0, "assumed", ("store", "weekly"))
    assert found.checks[1].every_s == 0.3
    assert found.checks[1].deadline_s == 1.0
    assert found.checks[2].tolerance == Tolerance.parse("<= 1.5 x baseline")
    assert found.aborts == [AbortCondition("streams start", below=0.95)]


def test_stages_by_hand_keep_their_faults_as_written(write) -> None:  # type: ignore[no-untyped-def]
    found = load_experiment(write(BY_HAND))
    assert found.stage_list == [
        {"stage": "slow link", "faults": [{"delay": "members-east-a--cache-east-a", "by": "normal:100ms,20ms"}],
         "settle_s": 5.0, "gate": True},
        {"stage": "gone", "faults": [{"kill": "store-east-a"}, {"kill": "store-east-b"}],
         "settle_s": 1.0, "gate": False},
    ]  # fmt: skip


def test_an_experiment_gives_its_part_of_a_request(write) -> None:  # type: ignore[no-untyped-def]
    found = load_experiment(write(GOOD))
    common = [{"name": "latency", "probe": {}}, {"name": "other", "probe": {}}]
    said = found.for_request(common, for_s=3.0)
    assert said["for_s"] == 3.0
    assert [check["name"] for check in said["checks"]] == ["streams start", "answers", "latency", "other"]
    assert said["aborts"] == [{"check": "streams start", "below": 0.95, "above": None}]
    assert "aborts" not in load_experiment(write(BY_HAND)).for_request()


def test_exposure_that_an_experiment_does_not_tell_of_is_the_configurations(write) -> None:  # type: ignore[no-untyped-def]
    assert load_experiment(write(GOOD)).for_request()["exposure"] == "assumed"
    silent = load_experiment(write(BY_HAND))
    assert silent.exposure == "required"
    assert "exposure" not in silent.for_request()
    counter = "{sql: SELECT count(*) FROM orders, url: sqlite:///shop.db}"
    path = write(GOOD.replace("exposure: assumed", f"exposure: {counter}"))
    said = load_experiment(path).for_request()["exposure"]
    assert said == {"sql": "SELECT count(*) FROM orders", "url": f"sqlite:///{path.parent}/shop.db"}


def test_every_problem_is_told_at_once_in_order_with_line_key_and_the_nearest_name(write) -> None:  # type: ignore[no-untyped-def]
    text = (
        GOOD.replace("hypothesis:", "hypothesys:")
        .replace("for: 60s", "for: 60")
        .replace("success_share", "sucess_share")
        .replace("expect: 204", 'expect: "204"')
        .replace("1.5 x baseline", "1.5 x basel")
        .replace('below: "95 %"', 'below: "195"')
        .replace("exposure: assumed", "exposure: maybe")
        .replace("tags: [store, weekly]", "tags: [store, weekly]\ntags: 3")
    )
    with pytest.raises(UsageError) as raised:
        load_experiment(write(text))
    assert "tags: this key is there already, in line 14" in str(raised.value), "a double key is told before all else"
    found = problems(write(text.replace("\ntags: 3", "")))
    assert [line.split(": ")[0] + ": " + line.split(": ")[1] for line in found] == [
        "2: hypothesys",
        "5: for",
        "8: steady_state.0.probe",
        "9: steady_state.1.probe",
        "10: steady_state.2.tolerance",
        "11: abort.0",
        "13: exposure",
    ]
    assert "did you mean 'hypothesis'?" in found[0]
    assert "500ms, 30s" in found[1]
    assert "did you mean 'success_share'?" in found[2]
    assert "'required' or 'assumed'" in found[-1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("monkey: chaos\n", ""), "neither a monkey nor stages"),
        (("monkey: chaos\n", "monkey: kaos\n"), "did you mean 'chaos'?"),
        (("how: kill", "hwo: kill"), "did you mean 'how'?"),
        (("60s", "-60s"), "negative"),
        (("60s", "0s"), "too short"),
        (("60s", "1e400h"), "too long"),
        (("60s", ".inf"), "finite"),
        (("[store, weekly]", "store"), "right would be a list"),
        (("{service: store, region: east, how: kill}", "none"), "right would be a mapping"),
        (("check: latency", "check: answers"), "there twice"),
        (("check: streams start, below", "check: stream start, below"), "did you mean 'streams start'?"),
        (("check: streams start, below", "check: streams start, belo"), "did you mean 'below'?"),
        (('">= 99.9 %"', '">= 99.9"'), "does not go with success_share"),
        (("http: http://127.0.0.1:1/, expect: 204", "prometheus: up"), "needs 'url'"),
        (("http: http://127.0.0.1:1/, expect: 204", "promtheus: up"), "did you mean 'prometheus'?"),
        (("http: http://127.0.0.1:1/, expect: 204", "sql: DELETE FROM a, url: sqlite:///a"), "begins with DELETE"),
        (("http: http://127.0.0.1:1/, expect: 204", "sql: SELECT 1, url: sqlite:///a, parametrs: {}"), "'parameters'?"),
        (("check: answers", "check: (exposure)"), "is what `exposure` is read under"),
        (("experiment: members", "experiment: [a]\nx: members"), "right would be a text"),
        (("every: 300ms", "misses: -1"), "greater than or equal to 0"),
        (("every: 300ms", "misses: 1.5"), "right would be a whole number"),
    ],
)
def test_a_wrong_experiment_says_what_would_be_right(write, change: tuple[str, str], said: str) -> None:  # type: ignore[no-untyped-def]
    changed = GOOD.replace(*change)
    assert changed != GOOD
    assert any(said in line for line in problems(write(changed), monkeys=find_monkeys().monkeys))


def test_a_wrong_fault_by_hand_is_told_with_its_line(write) -> None:  # type: ignore[no-untyped-def]
    found = problems(write(BY_HAND.replace("{kill: store-east-b}", "{kil: store-east-b}")))
    assert len(found) == 1
    assert found[0].startswith("4: stages.1.faults.1: ")
    assert "did you mean 'kill'?" in found[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"# nothing\n", "empty"),
        (b"- 1\n", "list"),
        (b"\x00\x01\x02", "control character"),
        (b"a: \xff\xfe\n", "not UTF-8"),
        ("a: 1".encode("utf-16"), "UTF-16"),
        (b"a: [1, 2\n", "1"),
        (b"a: {b: 1\n", "1"),
        (b"a: !!python/object/apply:os.system [ls]\n", "tag"),
        (b"a: 1\n---\nb: 2\n", "second document"),
        (b"a: *x\n", "stands for nothing"),
        (b"a: " + b"[" * 100_000, "nested deeper"),
        (b"\n".join(b" " * n + b"a:" for n in range(400)), "nested deeper"),
        (b"a: 1\n" * 3000, "already"),
        (b"a: [" + b"1," * 20_000 + b"1]", "more than 8000 values"),
        (b"a: x\n" + b"#" * (MOST_BYTES + 1), "KiB"),
        (b"a: &a [1,1,1,1,1,1,1,1,1]\n"
         + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(9)),
         "more than 8000 values"),
        (b"? [a]\n: 1\n", "no text"),
        (b'a: "\\UFFFFFFFF"\n', "YAML"),
        (b"%YAML " + b"9" * 5000 + b".2\n---\na: 1\n", "YAML"),
        (b"a: .nan\nb: -.inf\n", "finite"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_ours_is_told_soon_and_without_a_traceback(write, content: bytes, said: str) -> None:  # type: ignore[no-untyped-def]
    path = write(content)
    with pytest.raises(UsageError) as raised:
        load_experiment(path)
    assert said in str(raised.value)
    assert str(path) in str(raised.value)


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm(write) -> None:  # type: ignore[no-untyped-def]
    assert load_experiment(write(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())) == load_experiment(write(GOOD))


def test_words_of_yaml_1_1_stay_text() -> None:
    words = parse_yaml("a: on\nb: NO\nc: 1:30\nd: 0777\ne: 2026-12-20\nf: 1_000\ng: 'true'\nh: !!str 3", "f").data
    assert words == {
        "a": "on",
        "b": "NO",
        "c": "1:30",
        "d": 777,
        "e": "2026-12-20",
        "f": "1_000",
        "g": "true",
        "h": "3",
    }


def test_numbers_true_false_and_null_are_what_they_look_like() -> None:
    words = parse_yaml("a: 1.10\nb: true\nc: ~\nd: 0x1F\ne: -3\nf: 1e3\ng:\nh: 0o17", "f").data
    assert words == {"a": 1.1, "b": True, "c": None, "d": 31, "e": -3, "f": 1000.0, "g": None, "h": 15}


def test_an_alias_stands_for_what_it_names() -> None:
    assert parse_yaml("a: &x {b: [1]}\nc: *x", "f").data == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize("path", ["/nowhere/e.yaml", "/dev/zero", "/", "a\0b.yaml"])
def test_what_is_no_file_at_all_is_told(path: str) -> None:
    with pytest.raises(UsageError, match=r"file|read"):
        load_yaml(Path(path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "e.yaml")
    with pytest.raises(UsageError, match="no file"):
        load_experiment(tmp_path / "e.yaml")


@pytest.mark.parametrize(
    "piece", ["x" * 9 + "\n", "xy ", "# c\n", "\n", " ", "%A\n", "- ", "? ", "&a ", "[", "'", "a: |\n  b\n"]
)
def test_a_full_sized_file_of_anything_is_answered_in_bounded_work(piece: str) -> None:
    began = time.process_time()
    with contextlib.suppress(UsageError):
        parse_yaml("a: 1\nb: " + piece * (MOST_BYTES // len(piece) - 8), "f")
    assert time.process_time() - began < 20.0, "far beyond the second it takes: something grows faster than the file"


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
MONKEYS = find_monkeys().monkeys
KEYS = [field.alias or name for name, field in Experiment.model_fields.items()]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_bytes_make_a_traceback(write, content: bytes) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError):
        load_experiment(write(content))


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), yaml_values, max_size=6))
def test_no_data_makes_a_traceback(write, data: dict[str, object]) -> None:  # type: ignore[no-untyped-def]
    with contextlib.suppress(UsageError):
        load_experiment(write(json.dumps(data)), monkeys=MONKEYS)


def test_no_mutilated_experiment_makes_a_traceback(write) -> None:  # type: ignore[no-untyped-def]
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(150):
        text = list(dice.choice((GOOD, BY_HAND)))
        for _ in range(dice.randint(1, 5)):
            at = dice.randrange(len(text))
            text[at : at + dice.randint(0, 6)] = dice.choices(":-[]{}&*!|>'\"%@`,#? \n\t~0aé", k=dice.randint(0, 3))
        with contextlib.suppress(UsageError):
            load_experiment(write("".join(text)))


def test_the_experiments_that_come_with_simian_are_right_and_found_by_name() -> None:
    monkeys = find_monkeys().monkeys
    found = {name: load_experiment(name, monkeys=monkeys) for name in find_experiments()}
    assert {"chaos", "gorilla", "latency"} <= {experiment.monkey for experiment in found.values()}
    assert all(experiment.hypothesis and experiment.checks for experiment in found.values())


def test_an_unknown_experiment_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'members-survive-a-lost-store-node'"):
        load_experiment("members-survive-a-lost-store-nod")


def test_the_schema_knows_every_key() -> None:
    schema = experiment_schema()
    assert set(schema["properties"]) == set(KEYS)
    assert schema["required"] == ["experiment"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", ["members-survive-a-lost-store-node", "a-region-serves-on-without-a-zone"])
def test_an_experiment_that_comes_with_simian_holds_in_simulation(name: str) -> None:
    found = load_experiment(name)
    assert found.monkey is not None
    record = Simulation.seeded(7).run(find_monkeys().get(found.monkey), options=found.options, **found.for_request())
    assert (record["outcome"], record["verdict"], record["recovery"]) == ("completed", "held", "clean"), record[
        "reasons"
    ]
    assert [row["verdict"] for row in record["steady_state"]] == ["held"] * len(found.checks)

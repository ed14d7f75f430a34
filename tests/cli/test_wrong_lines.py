"""Wrong words and wrong files: the exit code, one line that helps, never a traceback."""

import json
import shlex

import pytest

from .conftest import MEMORY, Call, Program

EXPERIMENT = "experiment: x\nmonkey: gorilla\n"

LINES = [
    # what is typed, exit code, what the answer must say
    ("nope", 2, "no command or monkey is called 'nope'"),
    ("gorila", 2, "did you mean 'gorilla'?"),
    ("topolgy", 2, "did you mean 'topology'?"),
    ("--nope", 2, "--nope"),
    ("--config", 2, "--config needs a file"),
    ("--config= status", 2, "--config needs a file"),
    ("--config nope.yaml status", 2, "nope.yaml: cannot be read"),
    ("--config . status", 2, "this is no file"),
    ("gorilla --zoen east-a", 2, "--zone"),
    ("gorilla --zone", 2, "--zone"),
    ("gorilla --zone nowhere", 2, "no zone is called 'nowhere'; there are: east-a"),
    ("gorilla --zone nowhere --plan", 2, "no zone is called 'nowhere'"),
    ("gorilla --region north --plan", 2, "'north'"),
    ("gorilla --zone east-a --region west --plan", 2, "zone east-a is not in region west"),
    ("gorilla east-a", 2, "east-a"),
    ("gorilla --for abc", 2, "--for: 'abc' is no duration; write a number and a unit"),
    ("gorilla --for 30", 2, "--for"),
    ("gorilla --for -1s", 2, "--for: '-1s' is negative"),
    ("gorilla --for 0s", 2, "--for: '0s' is too short"),
    ("gorilla --for 1e999s", 2, "--for: '1e999s' is too long"),
    ("gorilla --for 99999999h", 2, "is too long"),
    ("gorilla --for nan", 2, "--for"),
    ("gorilla --for infs", 2, "--for"),
    ("gorilla --seed x", 2, "--seed"),
    ("gorilla --seed -1", 2, "--seed"),
    ("gorilla --seed 99999999999999999999999999", 2, "--seed"),
    ("gorilla --report report.pdf", 2, "ends in .txt, .md, .json"),
    ("gorilla --report nope/report.md", 2, "nope is no folder"),
    ("chaos --node nope --plan", 2, "no node is called 'nope'"),
    ("chaos --service nope --plan", 2, "service 'nope' may be hit; there are: cache"),
    ("chaos --region nope --plan", 2, "nope"),
    ("chaos --count 0 --plan", 2, "count is 0"),
    ("chaos --count 9999999999999999999999 --plan", 2, "1 to that many"),
    ("chaos --count two --plan", 2, "--count"),
    ("chaos --how burn --plan", 2, "'kill', 'crash', 'stop', 'pause'"),
    ("latency --share 200% --plan", 2, "over 100 %"),
    ("latency --share nan --plan", 2, "'nan' is no share"),
    ("latency --share -1% --plan", 2, "-1%"),
    ("latency --delay wat:1 --plan", 2, "no distribution is called 'wat'"),
    ("latency --delay constant:-5ms --plan", 2, "negative"),
    ("latency --delay uniform:9ms..1ms --plan", 2, "9ms"),
    ("latency --delay empirical:/nope --plan", 2, "/nope"),
    ("latency --status 200 --plan", 2, "400 to 599"),
    ("latency --side both --plan", 2, "--side"),
    ("latency --service store --link members-east-a--cache-east-a --plan", 2, "not both"),
    ("latency --link nope --plan", 2, "no link is called 'nope'"),
    ("run", 2, "missing argument"),
    ("run nope", 2, "no experiment is called 'nope'"),
    ("run nope.yaml", 2, "nope.yaml: cannot be read"),
    ("run members-survive-a-lost-stor-node", 2, "did you mean"),
    ("validate", 2, "missing argument"),
    ("validate nope.yaml also-not.yaml", 2, "also-not.yaml: cannot be read"),
    ("experiments show nope", 2, "no experiment is called 'nope'"),
    ("experiments schema nope", 2, "there are: experiment, config"),
    ("experiments nope", 2, "nope"),
    ("monkeys show gorila", 2, "did you mean 'gorilla'?"),
    ("monkeys show", 2, "missing argument"),
    ("halt", 2, "missing argument"),
    ("halt ' '", 2, "needs a reason"),
    ("abort nope", 2, "'nope'"),
    ("history --limit 0", 2, "--limit"),
    ("history --limit 100000", 2, "--limit"),
    ("history --since yesterday", 2, "--since"),
    ("history --since 2026-13-45", 2, "--since"),
    ("history --after nope", 2, "cursor 'nope'"),
    ("history --verdict fine", 2, "held, broken, unknown"),
    ("history --outcome fine", 2, "refused, aborted, completed, crashed"),
    ("report", 2, "run a monkey first"),
    ("report nope", 2, "no run begins with 'nope'"),
    ("report --format pdf", 2, "'pdf' is no format"),
    ("report -o nope/report.md", 2, "nope is no folder"),
    ("report -o report.pdf", 2, "ends in .txt, .md, .json"),
    ("lab up --flavour vm", 2, "--flavour process"),
    ("lab up --weakness wrong-clok", 2, "there is no weakness 'wrong-clok'; did you mean 'wrong-clock'?"),
    ("lab up --real toxiproxy,cassandra", 2, "there is no such real part; there is: toxiproxy, memcached, dns, sqs"),
    ("lab logs members-east-a", 4, "no lab is up"),
    ("status extra", 2, "extra"),
    ("gorilla", 3, "in memory"),
    ("run a-region-serves-on-without-a-zone", 3, "in memory"),
]


@pytest.mark.parametrize(("line", "code", "said"), LINES, ids=[line for line, _, _ in LINES])
def test_a_wrong_line_is_told_in_words(line: str, code: int, said: str, call: Call) -> None:
    answer = call(*shlex.split(line))
    assert answer.code == code
    assert answer.out == "", "what is wrong goes to stderr"
    assert said in answer.err
    assert all(told.startswith("error: ") for told in answer.err.splitlines())
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(("line", "code", "said"), LINES, ids=[line for line, _, _ in LINES])
def test_a_wrong_line_with_json_is_one_document(line: str, code: int, said: str, call: Call) -> None:
    answer = call("--json", *shlex.split(line))
    assert answer.code == code
    assert answer.out.count("\n") == 1
    error = json.loads(answer.out)["error"]
    assert error["kind"] == {2: "usage", 3: "refused", 4: "unreachable"}[code]
    assert said in "\n".join(error["reasons"])
    assert answer.err == ""


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)
FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "the file is empty"),
    "only a comment": ("# nothing\n", "the file is empty"),
    "binary": (bytes(range(256)) * 20, "not UTF-8"),
    "a null byte": (b"system: a\x00b\n", "control character"),
    "an escape": (b"system: \x1b[31mred\n", "control character"),
    "utf-16": ("system: shop".encode("utf-16"), "UTF-16"),
    "ten megabytes": ("#" * 10_000_000, "larger than"),
    "deep": ("a: " + "[" * 5000, "nested deeper"),
    "deep in blocks": ("".join(" " * n + "a:\n" for n in range(500)), "nested deeper"),
    "alias bomb": (BOMB, "aliases counted"),
    "an alias of itself": ("a: &a [*a]\n", "*a stands for nothing"),
    "a list": ("- a\n- b\n", "not a mapping"),
    "a word": ("hello\n", "not a mapping"),
    "two documents": (MEMORY + "---\n" + MEMORY, "a second document"),
    "a tab": ("system:\n\t- shop\n", "YAML 1.2"),
    "an open bracket": ("system: [shop\n", "YAML 1.2"),
    "a python object": ("system: !!python/object/apply:os.system [id]\n", "the tag"),
    "the same key twice": (MEMORY + "system: other\n", "there already"),
    "an unknown key": (MEMORY + "sytem: other\n", "did you mean 'system'"),
    "a wrong type": ("system: 7\nplatform: {driver: memory}\n", "right would be a text"),
    "an unknown driver": ("system: shop\nplatform: {driver: memmory}\n", "did you mean 'memory'"),
    "a folder that is not there": (MEMORY + "plugins: [./nope]\n", "is no folder"),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("line", ["status", "validate simian.yaml", "gorilla --plan"])
def test_a_bad_configuration_is_told_with_its_place(kind: str, line: str, shop: Program, call: Call) -> None:
    content, said = FILES[kind]
    shop.file("simian.yaml", content)
    answer = call(*shlex.split(line))
    assert answer.code == 2
    assert answer.out == ""
    assert said in answer.err
    assert "simian.yaml" in answer.err
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.err, "a file must not steer the terminal"
    assert len(answer.err) < 5000


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind not in ("a folder that is not there",)])
def test_a_bad_experiment_is_told_with_its_place(kind: str, shop: Program, call: Call) -> None:
    shop.file("mine.yaml", FILES[kind][0])
    for line in ("validate mine.yaml", "run mine.yaml"):
        answer = call(*shlex.split(line))
        assert answer.code == 2
        assert "mine.yaml" in answer.err
        assert "Traceback" not in answer.err


def test_every_problem_of_a_configuration_is_told_at_once(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", MEMORY + "sytem: x\nlimits: {radius: planet}\nguards: [{}]\n")
    answer = call("status")
    assert answer.code == 2
    places = [line.split(" ")[1] for line in answer.err.splitlines()]
    assert [place.rsplit("simian.yaml", 1)[1] for place in places] == [":6:", ":7:", ":8:"]
    for told, key in zip(answer.err.splitlines(), ("sytem", "limits.radius", "guards.0"), strict=True):
        assert f" {key}: " in told


def test_every_problem_of_an_experiment_is_told_at_once(shop: Program, call: Call) -> None:
    shop.file("mine.yaml", "experiment: x\nmonkey: gorila\nfro: 3s\nabort: [{check: y, below: '2'}]\nbaseline: 5\n")
    answer = call("validate", "mine.yaml")
    assert answer.code == 2
    assert [line.split(":")[2].strip() for line in answer.err.splitlines()] == ["2", "3", "5"]
    assert "did you mean 'gorilla'" in answer.err


def test_an_unknown_option_of_an_experiments_monkey_is_told_with_the_nearest_name(shop: Program, call: Call) -> None:
    shop.file("mine.yaml", EXPERIMENT + "options: {zoen: east-a}\n")
    for command in ("validate", "run"):
        answer = call(command, "mine.yaml")
        assert answer.code == 2
        assert "mine.yaml:3: options: " in answer.err
        assert "did you mean 'zone'?" in answer.err


@pytest.mark.parametrize(
    ("defaults", "said"),
    [("{gorila: {}}", "did you mean 'gorilla'?"), ("{gorilla: {zoen: a}}", "did you mean 'zone'?")],
)
def test_defaults_of_monkeys_are_validated(defaults: str, said: str, shop: Program, call: Call) -> None:
    shop.file("simian.yaml", f"{MEMORY}monkeys: {defaults}\n")
    answer = call("validate", "simian.yaml")
    assert answer.code == 2
    assert "simian.yaml:6: monkeys.gor" in answer.err
    assert said in answer.err


def test_without_a_configuration_the_way_to_one_is_told(nowhere: Program) -> None:
    answer = nowhere("gorilla")
    assert answer.code == 2
    assert "error: no simian.yaml in this folder or above, and no lab is up; " in answer.err
    assert "simian lab up" in answer.err
    assert "--config FILE" in answer.err


def test_a_configuration_above_is_found(shop: Program) -> None:
    below = shop.folder / "deep" / "down"
    below.mkdir(parents=True)
    answer = Program(below, shop.environment)("doctor", "--json")
    assert answer.code == 0
    assert {"what": "configuration", "finding": str(shop.folder / "simian.yaml"), "ok": True} in answer.document[
        "findings"
    ]


def test_a_broken_configuration_is_named_when_a_monkey_is_not_found(shop: Program, call: Call) -> None:
    shop.file("simian.yaml", MEMORY + "plugins: [./nope]\n")
    answer = call("my-own-monkey")
    assert answer.code == 2
    assert "no command or monkey is called 'my-own-monkey'" in answer.err
    assert "simian.yaml:6: plugins.0: " in answer.err

"""The house keeps its own rules: arrows between modules, sizes, words, one importer for each third-party client."""

import ast
import hashlib
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for part in ("simian", "monkeys", "lab", "filters") for path in (ROOT / part).rglob("*.py"))

# Lower may be imported by higher, never the other way round (docs/design.md, section 4).
LAYERS: list[set[str]] = [
    {
        "errors",
        "topology",
        "clock",
        "crash_points",
        "owner",
        "histogram",
        "halt",
        "opening",
        "tolerance",
        "request",
        "traffic",
        "http_call",
        "dial",
        "secrets",
        "holiday",
        "freeze",
    },
    {"world"},
    {"fault", "faults", "probe", "monkey", "hands", "lease", "cusum"},
    {
        "plan",
        "experiment",
        "journal",
        "fields",
        "tally",
        "blame",
        "notice",
        "judge",
        "judge_users",
        "judge_readings",
        "steady_state",
        "snapshot",
        "probes",
        "yamlfile",
        "convergence",
        "writers",
        "exposure",
        "guards",
    },
    {"recover", "verdict", "guardian", "record", "headroom"},
    {"preflight", "attention", "watch", "aftermath"},
    {"drain"},
    {"inject"},
    {"runner"},
    {"memory", "history", "platforms", "networks", "steering", "requests", "data", "observers", "report", "load"},
    {"notify", "telemetry"},
    {"schedule", "daemon", "web", "drivers", "config", "simulation", "compose"},
    {"adopt"},
    {"cli", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
DRIVER_FOLDERS = {"platforms", "networks", "steering", "requests", "data", "observers"}
CLIENTS = {
    "cassandra": {"simian/data/cassandra.py", "lab/members_cassandra.py"},  # two, as the lab imports nothing of simian
    "docker": {"simian/platforms"},
    "toxiproxy": {"simian/networks"},
    "sqlalchemy": {"simian/history", "simian/probes/sql.py"},  # our own books, and other people's
    "alembic": {"simian/history"},
    "ruamel": {"simian/yamlfile.py"},
    "rich": {"simian/cli"},
    "typer": {"simian/cli"},
    "dnslib": {"lab"},
    "apscheduler": {"simian/schedule"},
    "holidays": {"simian/holiday.py"},
    "icalendar": {"simian/freeze.py"},
    "recurring_ical_events": {"simian/freeze.py"},
    "jinja2": {"simian/web", "simian/report"},
    "starlette": {"simian/web"},
    "uvicorn": {"simian/web"},
    "apprise": {"simian/notify"},
    "prometheus_client": {"simian/telemetry"},
    "opentelemetry": {"simian/telemetry"},
}
BANNED = {
    "attack", "scenario", "victim", "rollback", "revert", "heal", "cleanup", "dry_run", "dryrun", "threshold", "sensor",
    "sample", "ledger", "inventory", "backend", "passed",
}  # fmt: skip
ALLOWED_NAMES: set[str] = set()  # names that a library or JSON needs


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def module_of(path: Path) -> str:
    """``simian/networks/toxiproxy.py`` -> ``networks``; the package itself -> ''."""
    parts = path.relative_to(ROOT / "simian").with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Absolute module names imported anywhere in a file, and whether only for type checking."""
    typing_only = {
        id(node)
        for block in ast.walk(tree(path))
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    del typing_only
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, False
            if node.module == "simian":
                yield from ((f"simian.{alias.name}", False) for alias in node.names)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines, docstring left out, of every function in a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body
            docstring = body[0] if ast.get_docstring(node) else None
            bare = (docstring.end_lineno - docstring.lineno + 1) if docstring and docstring.end_lineno else 0
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or 0) - node.lineno + 1 - bare


SIMIAN = [path for path in SOURCES if path.is_relative_to(ROOT / "simian")]


def test_every_module_has_its_place_in_the_order_of_imports() -> None:
    homeless = {module_of(path) for path in SIMIAN} - set(LEVEL) - {""}
    assert not homeless, f"give these a layer in LAYERS: {sorted(homeless)}"


def test_imports_point_one_way() -> None:
    wrong = []
    for path in SIMIAN:
        here = module_of(path)
        for name, _ in imports(path):
            there = name.split(".")[1] if name.startswith("simian.") else ""
            if here and there in LEVEL and LEVEL[there] > LEVEL[here]:
                wrong.append(f"{path.relative_to(ROOT)} imports simian.{there}")
    assert not wrong


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for path in SIMIAN:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        arrows[name] = {imported for imported, _ in imports(path) if imported.startswith("simian.")}
    known = set(arrows)
    # A lazy import of simian.faults registers the kinds: it is made when a fault is built, never while importing.
    arrows["simian.fault"] -= {"simian.faults"}

    def reaches(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(arrows[start] & known)
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += arrows[name] & known
        return seen

    assert not [name for name in known if name in reaches(name)]


def test_drivers_know_nothing_of_runs_faults_and_monkeys() -> None:
    forbidden = {"simian.runner", "simian.fault", "simian.faults", "simian.monkey", "simian.plan", "simian.journal"}
    drivers = [path for path in SIMIAN if module_of(path) in DRIVER_FOLDERS | {"memory"}]
    assert drivers
    assert not [str(path) for path in drivers if forbidden & {name for name, _ in imports(path)}]


def test_the_lab_imports_nothing_of_simian() -> None:
    lab = [path for path in SOURCES if path.is_relative_to(ROOT / "lab")]
    assert lab
    wrong = [str(path) for path in lab if any(name.split(".")[0] == "simian" for name, _ in imports(path))]
    assert not wrong


def test_the_filters_need_the_standard_library_only() -> None:
    import sys

    allowed = set(sys.stdlib_module_names) | {"simian_filters"}
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "filters" / "simian_filters")]
    assert files
    assert not [(str(path), name) for path in files for name, _ in imports(path) if name.split(".")[0] not in allowed]


def test_each_third_party_client_has_one_home() -> None:
    wrong = []
    for path in SOURCES:
        where = str(path.relative_to(ROOT))
        for name, _ in imports(path):
            homes = CLIENTS.get(name.split(".")[0])
            if homes and not any(where == home or where.startswith(f"{home}/") for home in homes):
                wrong.append(f"{where} imports {name}")
    assert not wrong


def test_functions_fit_in_the_eye() -> None:
    lengths = [(length, name) for path in SOURCES for name, length in functions(path)]
    too_long = sorted((length, name) for length, name in lengths if length > 50)
    assert not too_long
    only = sorted(length for length, _ in lengths)
    assert statistics.median(only) <= 8
    assert only[int(len(only) * 0.9)] <= 30


def test_files_stay_short() -> None:
    long = [(str(path.relative_to(ROOT)), n) for path in SOURCES if (n := len(path.read_text().splitlines())) > 400]
    assert not long


def public_names(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_one_word_for_each_concept() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in SIMIAN
        for name in public_names(path)
        if not name.startswith("_") and name not in ALLOWED_NAMES
        if BANNED & set(name.lower().split("_")) or any(word in name.lower() for word in ("dry_run", "rollback"))
    }
    assert not found


@pytest.mark.parametrize("page", ["design", "glossary", "adding-a-monkey", "adding-a-driver", "wire"])
def test_the_house_has_its_pages(page: str) -> None:
    assert (ROOT / "docs" / f"{page}.md").read_text().startswith("# ")


def reached_from(start: str) -> set[str]:
    """Every module of simian that importing those below ``start`` may import, sooner or later."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SIMIAN}
    found = {name for name in files if name == start or name.startswith(f"{start}.")}
    todo = list(found)
    while todo:
        for name, _ in imports(files[todo.pop()]):
            if name in files and name not in found:
                found.add(name)
                todo.append(name)
    return found


def test_the_web_process_has_no_driver_and_no_runner_anywhere_behind_it() -> None:
    reached = reached_from("simian.web")
    assert {"simian.web.app", "simian.history.store", "simian.report.story"} <= reached
    hands = DRIVER_FOLDERS | {
        "drivers",
        "runner",
        "preflight",
        "inject",
        "recover",
        "guardian",
        "journal",
        "cli",
        "hands",
    }
    assert not [name for name in reached if name.split(".")[1:] and name.split(".")[1] in hands]
    forbidden = {"docker", "toxiproxy", "subprocess"}
    files = [path for path in SIMIAN if module_of(path) == "web"]
    assert not [(str(path), name) for path in files for name, _ in imports(path) if name.split(".")[0] in forbidden]


def test_what_others_wrote_is_what_they_ship() -> None:
    vendor = ROOT / "simian" / "web" / "static" / "vendor"
    told = (vendor / "README.md").read_text()
    for path in sorted(vendor.iterdir()):
        if path.suffix in (".js", ".css"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() in told, path.name


def test_the_environment_is_read_in_the_composition_root_only() -> None:
    wrong = []
    for path in SIMIAN:
        reads = any(isinstance(n, ast.Attribute) and n.attr in ("environ", "getenv") for n in ast.walk(tree(path)))
        if reads and module_of(path) != "cli":
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong

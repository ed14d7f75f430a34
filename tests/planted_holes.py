"""Weaknesses of security that tests must find: each is planted in a copy of the code, and its test has to fail there.

``python tests/planted_holes.py [WORD]`` plants all, or those whose sentence has that word in it; each test is seen to
succeed without the hole first. ``docs/security.md`` has the table; ``tests/test_planted_holes.py`` keeps both true.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COPIED = ("simian", "monkeys", "tests", "lab", "filters", "experiments", "examples", "docs")
WEB = "tests/web/test_security.py::"
OURS = "tests/test_security.py::"


class Hole(NamedTuple):
    """``old`` stands once in ``file``; with ``new`` in its place the sentence is no longer true."""

    sentence: str
    test: str
    file: str
    old: str
    new: str


HOLES = (
    Hole("docker.sock is never in the dashboard's process", WEB + "test_no_other_unix_socket_can_be_reached_and_no_program_started",
         "simian/web/fence.py", "if place is not None and place not in (socket, socket.encode()):", "if False:"),
    Hole("the dashboard's process starts no program", WEB + "test_no_other_unix_socket_can_be_reached_and_no_program_started",
         "simian/web/fence.py", "elif event in _PROGRAMS:", "elif False:"),
    Hole("it opens no database but its own", WEB + "test_no_database_but_its_own_is_opened_in_c_or_otherwise",
         "simian/web/fence.py", "if named != database:", "if False:"),
    Hole("only needed calls of the engine", OURS + "test_no_call_of_the_engine_is_made_but_those_that_are_needed",
         "simian/platforms/docker.py", 'api.kill(one.id, "SIGKILL")', "api.put_archive(one.id, '/', b'')"),
    Hole("labelled containers only", "tests/test_preflight.py::test_a_link_to_or_from_who_has_not_opted_in_is_refused",
         "simian/preflight.py", "if not node.enabled:", "if False:"),
    Hole("production marks refused",
         "tests/test_preflight.py::test_what_is_marked_as_production_is_refused_unless_the_operators_file_allows_it",
         "simian/preflight.py", 'if node.production and case.limits.get("production") != "allowed":', "if False:"),
    Hole("never ourselves", OURS + "test_we_are_no_node_of_the_system_and_nor_is_what_we_started",
         "simian/platforms/docker_containers.py", "ours = OURS in labels or one.id == self._own", "ours = OURS in labels"),
    Hole("loopback by default", OURS + "test_pages_and_api_listen_on_loopback_unless_they_are_told_otherwise",
         "simian/cli/serve.py", '= "127.0.0.1",', '= "0.0.0.0",'),
    Hole("a token for changes", WEB + "test_only_an_operators_token_starts_a_run",
         "simian/web/access.py", 'if role == "operator" and not visitor.is_operator:', "if False:"),
    Hole("CSRF checks", WEB + "test_a_form_without_the_mark_of_our_page_changes_nothing",
         "simian/web/access.py", 'if not hmac.compare_digest(digest(mark or ""), digest(visitor.session.csrf)):', "if False:"),
    Hole("Origin checks", WEB + "test_a_page_elsewhere_can_change_nothing_even_with_the_cookie",
         "simian/web/guards.py", "if origin is None or (origin.lower() not in ours and origin != self._outside):", "if False:"),
    Hole("Host checks", WEB + "test_a_name_that_is_led_to_this_machine_by_somebody_else_gets_nothing",
         "simian/web/guards.py", "if name not in self._hosts:", "if False:"),
    Hole("no change by GET", WEB + "test_nothing_is_changed_by_get",
         "simian/web/api.py", 'Route("POST", "/halt", _halt', 'Route("GET", "/halt", _halt'),
    Hole("constant-time compare", WEB + "test_a_token_that_is_nearly_right_takes_as_long_as_any_other",
         "simian/web/access.py", "if hmac.compare_digest(given, token.sha256):", "if given == token.sha256:"),
    Hole("secrets never in a reading", "tests/test_watch.py::test_a_secret_is_looked_up_in_the_probes_process_and_no_reading_carries_it_out",
         "simian/probes/host.py", "hidden(seen.detail, secrets)", "str(seen.detail)"),
    Hole("secrets never in messages", OURS + "test_no_password_of_the_history_is_shown",
         "simian/history/database.py", "[key for key in url.query if _SECRET.search(key)]", "[]"),
    Hole("secrets never in notifications", "tests/notify/test_channels.py::test_no_name_of_a_channel_has_a_secret_in_it",
         "simian/notify/channels.py", 'return f"webhook {parts.scheme}://{parts.hostname}{port}{_mark(self.url)}"', 'return f"webhook {self.url}"'),
    Hole("token and socket are their owner's", OURS + "test_token_and_socket_are_for_their_owner_alone",
         "simian/daemon/desk.py", "before = os.umask(0o177)", "before = os.umask(0)"),
    Hole("plug-ins never from an experiment", OURS + "test_an_experiment_names_no_code",
         "simian/fields.py", 'extra="forbid", strict=True, populate_by_name', 'extra="ignore", strict=True, populate_by_name'),
    Hole("names lead nowhere else", OURS + "test_no_name_of_a_system_leads_out_of_the_state_folder",
         "simian/cli/state.py", 're.sub(r"[^A-Za-z0-9_.]+", "_", part)', "part"),
    Hole("no link is written through", OURS + "test_a_report_is_written_through_no_link_that_somebody_else_laid",
         "simian/cli/show.py", "os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666),", "open(path,"),
    Hole("temporary file and rename", OURS + "test_a_report_that_cannot_be_written_leaves_the_one_before_and_nothing_else",
         "simian/cli/show.py", "            new.unlink()\n", "            pass\n"),
    Hole("no overwrite without a flag", "tests/cli/test_init.py::test_nothing_is_overwritten_without_force",
         "simian/cli/init.py", "there = [path for path in texts if path.exists() or path.is_symlink()]", "there: list[Path] = []"),
    Hole("escape HTML on pages", WEB + "test_a_name_with_markup_in_it_is_shown_as_text",
         "simian/web/pages/frame.py", "autoescape=True,", "autoescape=False,"),
    Hole("escape HTML in reports", "tests/report/test_html.py::test_a_name_with_markup_in_it_is_text_in_every_place",
         "simian/report/html.py", "autoescape=True,", "autoescape=False,"),
    Hole("escape ANSI", "tests/notify/test_delivery.py::test_names_that_would_steer_a_terminal_are_made_visible",
         "simian/report/clean.py", "_UNSAFE.sub(_visible, str(value)).strip()", "str(value).strip()"),
    Hole("escape CSV formulas", "tests/report/test_formats.py::test_a_cell_is_no_formula_once_it_is_in_a_spreadsheet",
         "simian/report/clean.py", """return f"'{cell}" if _FORMULA.match(cell) else cell""", "return cell"),
    Hole("strict CSP", WEB + "test_every_answer_forbids_what_no_page_of_ours_needs",
         "simian/web/guards.py", "script-src 'self';", "script-src 'self' 'unsafe-inline';"),
    Hole("probes: schemes, no file:", "tests/probes/test_probes.py::test_http_asks_no_other_schemes_and_shows_no_passwords",
         "simian/probes/http.py", "if target.scheme not in PORTS or not target.hostname:", "if False:"),
    Hole("probes: no redirect off their host", "tests/probes/test_probes.py::test_http_follows_no_redirect_to_another_host",
         "simian/probes/http.py", "if (following.hostname, _port(following)) != (target.hostname, _port(target)):", "if False:"),
    Hole("probes and webhooks: no link-local", "tests/test_dial.py::test_where_clouds_keep_credentials_nobody_is_asked",
         "simian/dial.py", '("link-local", known.is_link_local)', '("link-local", False)'),
    Hole("address checked after DNS", "tests/test_dial.py::test_a_name_that_leads_to_such_an_address_is_not_asked_either",
         "simian/dial.py", "if why := why_not(str(address[0])):", 'if why := "":'),
    Hole("and the checked one is used", "tests/test_dial.py::test_the_address_that_was_looked_at_is_the_one_that_is_used",
         "simian/dial.py", "connection.connect(address)", "connection.connect((host, port))"),
    Hole("webhooks use that check", "tests/notify/test_channels.py::test_a_webhook_where_clouds_keep_credentials_is_not_asked_and_never_will_be",
         "simian/notify/channels.py", 'who="the webhook", dial=_dial)', 'who="the webhook")'),
    Hole("size limits", OURS + "test_no_more_is_read_of_an_answer_than_there_is_use_for",
         "simian/probes/http.py", "body = answer.read(MOST_BYTES)", "body = answer.read()"),
    Hole("argument lists, no shell", OURS + "test_nothing_calls_a_shell_and_nothing_evaluates_text",
         "simian/probes/command.py", "arguments, stdin=subprocess.DEVNULL,", '" ".join(arguments), shell=True, stdin=subprocess.DEVNULL,'),
    Hole("reduced environment", "tests/probes/test_probes.py::test_a_command_sees_no_shell_and_nothing_of_our_environment",
         "simian/probes/command.py", 'surroundings = {"PATH": os.defpath, "LANG": "C.UTF-8"}', "surroundings = dict(os.environ)"),
    Hole("bound SQL", "tests/history/test_pages.py::test_what_is_asked_for_is_bound_and_never_read_as_sql",
         "simian/history/page.py", '"monkey = ?": monkey,', '''f"monkey = '{monkey}' OR ? IS NULL": monkey,'''),
    Hole("hard maximum in the operator's file", "tests/test_preflight.py::test_the_smallest_radius_counts",
         "simian/preflight.py", "if plan.radius > radius:", "if False:"),
    Hole("the lever is read before every injection", OURS + "test_the_lever_is_read_before_every_injection",
         "simian/inject.py", "        self.attention.tick()\n        run, numbered", "        run, numbered"),
    Hole("undo is data, no pickles", OURS + "test_nothing_is_read_that_could_be_code",
         "simian/journal.py", "import json\n", "import json\nimport pickle\n"),
    Hole("a key starts no second run", "tests/web/test_once.py::test_the_next_web_process_answers_as_the_one_before_and_starts_nothing",
         "simian/web/once.py", "if kept is not None:", "if False:"),
    Hole("an answer that was lost starts none either", "tests/web/test_once.py::test_where_nobody_knows_whether_it_was_done_it_is_not_done_again",
         "simian/web/once.py", "            raise  # it may have been done: the key stays claimed", "            await self._written(lambda keys: keys.release(name))\n            raise"),
)  # fmt: skip


def plant(hole: Hole, root: Path) -> None:
    """Change the copy."""
    path = root / hole.file
    text = path.read_text()
    assert text.count(hole.old) == 1, f"{hole.file} has {hole.old!r} {text.count(hole.old)} times"
    path.write_text(text.replace(hole.old, hole.new))


def fails(test: str, root: Path) -> bool:
    """Whether the test does not succeed in this copy."""
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    done = subprocess.run(words, cwd=root, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root)}, timeout=600,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # fmt: skip
    return done.returncode == 1


def main(word: str) -> int:
    """How many were not found."""
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "pictures"))
        shutil.copy(ROOT / "pyproject.toml", root)
        for hole in [each for each in HOLES if word in each.sentence]:
            before = (root / hole.file).read_text()
            healthy = not fails(hole.test, root)
            plant(hole, root)
            found = fails(hole.test, root)
            (root / hole.file).write_text(before)
            missed += not (found and healthy)
            print(
                f"{'found ' if found else 'MISSED'}{'' if healthy else ' (and fails without it)'}  {hole.sentence}",
                flush=True,
            )
    return missed


if __name__ == "__main__":
    sys.exit(min(1, main(" ".join(sys.argv[1:]))))

"""Settings files that are wrong: every mistake is told, at once, in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailbridge.config import AgentEntry, ConfigError, Mailbox, Problem, Settings
from mailbridge.config_load import load
from mailbridge.config_read import TABLES, model_of
from mailbridge.core.tokens import MAX_MAILBOX_LOCAL
from tests.config_folder import Folder, with_rules


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[smtp]\nlisten_adr = 1", "smtp.listen_adr: unknown key: "),
        ("[smtp]\nmax_mesage = '1 MiB'", "smtp.max_mesage: unknown key: did you mean 'max_message'?"),
        ("[smtpp]\n", "smtpp: unknown key: did you mean 'smtp'?"),
        ("hostname = 'a'", "hostname: unknown key: it belongs under [server]"),
        ("[smtp]\nretry_first = '1m'", "smtp.retry_first: unknown key: it belongs under [delivery]"),
        (
            "[[mailbox]]\naddress = 'a@b.example'\n[[mailbox]]\naddress = 'c@b.example'\nacknowlege = true",
            "mailbox[2].acknowlege: unknown key: did you mean 'acknowledge'?",
        ),
        ("[smtp.tls]\nkey = 'x'", "smtp.tls: unknown key: did you mean 'tls_key'?"),
        ("rules = []", "rules: unknown key: known here: "),
        ("[smtp]\nlisten = ['::1:25']", "smtp.listen[1]: value '::1:25': allowed is ADDRESS:PORT such as "),
        ("[smtp]\nlisten = ['desk.example:25']", "smtp.listen[1]: value 'desk.example:25': allowed is "),
        ("[smtp]\nlisten = ['127.0.0.1:70000']", "smtp.listen[1]: value '127.0.0.1:70000': allowed is "),
        ("[smtp]\nlisten = ['8025']", "smtp.listen[1]: value '8025': allowed is ADDRESS:PORT such as "),
        ("[smtp]\nlisten = '127.0.0.1:25'", "smtp.listen: value '127.0.0.1:25': allowed is a list in "),
        ("[smtp]\nlisten = []", "smtp.listen: value []: allowed is at least one address, or "),
        ("[smtp]\nlisten = ['[::1]:1', '[::1]:1']", "smtp.listen: value ['[::1]:1', '[::1]:1']: the same "),
        ("[smtp]\nenabled = 'yes'", "smtp.enabled: value 'yes': allowed is true or false"),
        (
            "[smtp]\nmax_recipients = true",
            "smtp.max_recipients: value true: allowed is a whole number of at ",
        ),
        ("[smtp]\nmax_message = '1 MB'", "smtp.max_message: value '1 MB': allowed is a size such as "),
        ("[smtp]\nmax_message = '0 B'", "smtp.max_message: value '0 B': allowed is a value above 0"),
        ("[smtp]\nidle_timeout = '0s'", "smtp.idle_timeout: value '0s': allowed is a value above 0s"),
        ("[smtp]\nidle_timeout = 30", "smtp.idle_timeout: value 30: allowed is a duration such as '90s', "),
        (
            "[smtp]\nidle_timeout = '999999999d'",
            "smtp.idle_timeout: value '999999999d': allowed is a duration of at most",
        ),
        ("[smtp]\nidle_timeout = '٣s'", "smtp.idle_timeout: value '٣s': allowed is a duration such as "),
        ("smtp = 5", "smtp: value 5: allowed is a table: a line [smtp] with its keys below"),
        ("[mailbox]\naddress = 'a@b.example'", "mailbox: allowed are tables: lines [[mailbox]], with two "),
        ("mailbox = ['a@b.example']", "mailbox[1]: value 'a@b.example': allowed is a table: a line "),
        ("mailbox = []", "mailbox: allowed is at least one [[mailbox]]: an address to receive for"),
        ("[[mailbox]]\nname = 'Support'", "mailbox[1].address: missing: every entry needs one"),
        ("[store]\nreaders = 99", "store.readers: value 99: allowed is a whole number from 1 to 32"),
        ("[store]\nreaders = '4'", "store.readers: value '4': allowed is a whole number from 1 to 32"),
        (
            "[store]\nurl = 'mysql://h/db'",
            "store.url: value 'mysql://h/db': allowed is '', 'sqlite:///PATH' or ",
        ),
        ("[store]\nurl = 'sqlite://'", "store.url: value 'sqlite://': allowed is '', 'sqlite:///PATH' or "),
        ("[server]\nlog_level = 'loud'", "server.log_level: value 'loud': allowed is 'debug', 'info', "),
        ("[server]\nhostname = 'a b'", "server.hostname: value 'a b': allowed is a host name such as "),
        ("[server]\ndata_dir = ''", "server.data_dir: value '': allowed is a path"),
        ("[server]\ndata_dir = 5", "server.data_dir: value 5: allowed is a path in quotes"),
        ("[server]\ndata_dir = 'mailbridge.toml'", "server.data_dir: value '"),
        (
            "[tickets]\nreopen_within = 'never'",
            "tickets.reopen_within: value 'never': allowed is a duration ",
        ),
        (
            "[tickets]\nnotify_agents = ['new', 'x']",
            "tickets.notify_agents[2]: value 'x': allowed is 'new', ",
        ),
        ("[tickets]\ntemplates_dir = 'none'", "tickets.templates_dir: value '"),
        ("[tickets]\nrules_file = 5", "tickets.rules_file: value 5: allowed is a path in quotes"),
        ("[caps]\ntotal = -1", "caps.total: value -1: allowed is a whole number of at least 0"),
        ("[intake]\nlease = '10s'", "intake.parse_timeout: value '20s': allowed is at most intake.lease, "),
        ("[delivery]\nport = 0", "delivery.port: value 0: allowed is a whole number from 1 to 65535"),
        ("[delivery]\nretry_first = '2h'", "delivery.retry_first: value '2h': allowed is at most "),
        ("[delivery]\nca_file = 'mailbridge.toml'", "delivery.ca_file: value '"),
        (
            "[delivery]\nsecurity = 'none-on-loopback'\nhost = 'mail.example.org'",
            "delivery.security: value 'none-on-loopback': allowed only when delivery.host is this machine ",
        ),
        (
            "[delivery]\nmethod = 'smtp'\nusername = 'desk'",
            "delivery.password_file: missing: delivery.username is set; name a file with its password here, ",
        ),
        (
            '[delivery]\nusername = "a\\nb"',
            "delivery.username: value 'a\\nb': allowed is one line of at most ",
        ),
    ],
)
def test_one_mistake_gives_one_problem_with_key_value_and_what_is_allowed(
    folder: Folder, text: str, problem: str
) -> None:
    """No more and no less: follow-up complaints would hide the cause."""
    assert folder.problem(text).startswith(problem)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ("[[mailbox]]\naddress = 'support'", "mailbox[1].address: value 'support': allowed is a plain mail "),
        (
            "[[mailbox]]\naddress = 'a+b@desk.example'",
            "mailbox[1].address: value 'a+b@desk.example': no '+' is allowed: ",
        ),
        (
            "[[mailbox]]\naddress = 'a@desk.example'\n[[mailbox]]\naddress = 'A@Desk.example'",
            "mailbox[2].address: value 'A@Desk.example': already given as mailbox[1].address",
        ),
        (
            "[[mailbox]]\naddress = 'a@desk.example'\naliases = ['b@desk.example', 'B@desk.example']",
            "mailbox[1].aliases[2]: value 'B@desk.example': already given as mailbox[1].aliases[1]",
        ),
        (
            "[[mailbox]]\naddress = 'a@desk.example'\naliases = ['b@desk.example', 'x y@desk.example']",
            "mailbox[1].aliases[2]: value 'x y@desk.example': allowed is a plain mail address ",
        ),
        (
            "[[agent]]\naddress = 'Support+x@localhost'",
            "agent[1].address: value 'Support+x@localhost': this is our own address (mailbox[1].address): ",
        ),
        (
            "[[agent]]\naddress = 'b@x.example'\n[[agent]]\naddress = 'B@x.example'",
            "agent[2].address: value 'B@x.example': already given as agent[1].address",
        ),
        (
            "[[agent]]\naddress = 'b@x.example'\nmailboxes = ['sales@localhost']",
            "agent[1].mailboxes[1]: value 'sales@localhost': no such [[mailbox]]; known: support@localhost",
        ),
    ],
)
def test_addresses_must_be_valid_ours_once_and_no_loop(folder: Folder, entries: str, problem: str) -> None:
    """An agent who is a mailbox would write to itself for ever; a mailbox given twice is a slip."""
    assert folder.problem(entries).startswith(problem)


def test_a_mailbox_must_leave_room_for_the_tag_of_its_replies(folder: Folder) -> None:
    """local+tag has 64 octets at most (RFC 5321 4.5.3.1.1), counted in UTF-8; with more, replies get lost."""
    text = "[[mailbox]]\naddress = '{}@desk.example'"
    assert folder.load(text.format("x" * MAX_MAILBOX_LOCAL)).mailbox
    for local in ("x" * (MAX_MAILBOX_LOCAL + 1), "é" * (MAX_MAILBOX_LOCAL // 2 + 1)):
        assert f"at most {MAX_MAILBOX_LOCAL} octets before the '@'" in folder.problem(text.format(local))


def test_all_problems_are_told_at_once(folder: Folder) -> None:
    """An admin fixes a file in one round, not in ten."""
    folder.write("rules.toml", "[[rule]]\npriority = 'S9'\nmailbox = 'sales@desk.example'\n")
    problems = folder.problems("""
        [server]
        log_levl = "info"
        [smtp]
        idle_timeout = "soon"
        tls_key = "key.pem"
        [tickets]
        rules_file = "rules.toml"
        [delivery]
        security = "none-on-loopback"
        host = "192.0.2.1"
        [[mailbox]]
        address = "support"
        [[mailbox]]
        address = "sales@desk.example"
        defualt_priority = "S1"
        [[agent]]
        address = "sales@desk.example"
    """)
    keys = [problem.removeprefix(f"{folder.path}/rules.toml: ").split(":")[0] for problem in problems]
    assert sorted(keys) == [
        "agent[1].address",
        "delivery.security",
        "mailbox[1].address",
        "mailbox[2].defualt_priority",
        "rule[1].priority",
        "server.log_levl",
        "smtp.idle_timeout",
        "smtp.tls_certificate",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[smtp]\nenabled = \n", "not valid TOML: Invalid value (at line 2, column 11)"),
        ("[smtp]\n\n[smtp]\n", "not valid TOML: Cannot declare ('smtp',) twice (at line 3, column 6)"),
        (b"[server]\nhostname = 'caf\xe9'\n", "line 2 is not UTF-8 text"),
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("x = " + "1" * 5000, "not valid TOML: "),
        ("#" * (1 << 21), "not valid TOML: larger than 1 MiB: is this the right file?"),
    ],
)
def test_a_file_that_is_not_toml_is_told_with_its_line(
    folder: Folder, content: str | bytes, problem: str
) -> None:
    """And never as a traceback."""
    assert folder.problem(content).startswith(problem)


ODD_VALUES = [
    "-1",
    "1e999",
    "nan",
    "true",
    "1979-05-27T07:32:00Z",
    "''",
    "'~nobody-of-this-name/x'",
    f"'{'x' * 5000}'",
    '"\\u0000\\n\\u202e"',
    "'/dev/null'",
    "'.'",
    "[]",
    "[[]]",
    "[1, 'a', {}]",
    "[{}]",
    "{}",
    "{a = {b = 1}}",
    "9999999999999999999999",
]


@pytest.mark.parametrize("value", ODD_VALUES)
def test_no_value_of_any_key_makes_loading_fail_in_another_way(folder: Folder, value: str) -> None:
    """An admin must never see a traceback, whatever stands behind the equals sign."""
    places = [f"{name} = {value}" for name in Settings.model_fields]
    places += [f"[{name}]\n{key} = {value}" for name in TABLES for key in model_of(name).model_fields]
    places += [f"[[mailbox]]\n{key} = {value}" for key in Mailbox.model_fields]
    places += [f"[[agent]]\n{key} = {value}" for key in AgentEntry.model_fields]
    problems: list[Problem] = []
    for place in places:
        try:
            folder.load(place)
        except ConfigError as error:
            problems += error.problems
    for key in ("subject_tag", "from", "organisation", "mailbox", "priority"):
        with pytest.raises(ConfigError) as caught:  # even a good value is no whole rule
            folder.load(with_rules(folder, f"[[rule]]\n{key} = {value}"))
        problems += caught.value.problems
    assert len(problems) > len(places) // 4
    assert all(str(problem).isprintable() for problem in problems)


def test_a_missing_file_is_an_error_and_never_the_defaults(folder: Folder) -> None:
    """A typo in --config must not start a daemon on an empty database."""
    for path in (folder.file, folder.path):
        with pytest.raises(ConfigError, match=f"{path}: cannot be read: "):
            load(path, {})


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("priority = 'S1'", "rule[1]: a rule needs at least one of subject_tag, from, organisation, mailbox"),
        ("subject_tag = []\npriority = 'S1'", "rule[1]: a rule needs at least one of "),
        ("from = '@x.example'", "rule[1].priority: missing: every entry needs one"),
        (
            "form = '@x.example'\nfrom = 'a@x.example'\npriority = 'S1'",
            "rule[1].form: unknown key: did you mean 'from'?",
        ),
        ("from = '@'\npriority = 'S1'", "rule[1].from[1]: value '@': allowed is a mail address, or '@' and "),
        ("from = 'x'\npriority = 'S1'", "rule[1].from[1]: value 'x': allowed is a mail address, or '@' and "),
        (
            "subject_tag = '[S1]'\npriority = 'S1'",
            "rule[1].subject_tag[1]: value '[S1]': allowed is the text ",
        ),
        ("from = 5\npriority = 'S1'", "rule[1].from: value 5: allowed is a list in square brackets"),
        (
            "mailbox = 'sales@x.example'\npriority = 'S1'",
            "rule[1].mailbox[1]: value 'sales@x.example': no such [[mailbox]]; known: support@localhost",
        ),
    ],
)
def test_a_rule_that_cannot_be_meant_is_told_with_the_rules_file(
    folder: Folder, rule: str, problem: str
) -> None:
    """A rule without conditions would take every ticket; an unknown mailbox would take none."""
    told = folder.problem(with_rules(folder, f"[[rule]]\n{rule}"))
    assert told.removeprefix(f"{folder.path}/rules.toml: ").startswith(problem)


def test_a_rules_file_that_is_missing_or_misspelt_is_told(folder: Folder) -> None:
    """No rules at all is a different thing from rules that were not found."""
    text = "[tickets]\nrules_file = 'rules.toml'\n"
    assert folder.problem(text) == f"{folder.path}/rules.toml: cannot be read: No such file or directory"
    told = folder.problem(with_rules(folder, "[[rules]]\npriority = 'S1'"))
    assert told == f"{folder.path}/rules.toml: rules: unknown key: did you mean 'rule'?"

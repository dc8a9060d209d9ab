"""Templates to the words of a mail: subject, text and HTML.

The sources come as texts by name (`answer.txt`, `answer.html`); reading files is `edge.templates`. A `.txt`
begins with `Subject: ...` and an empty line. The mail of a stranger is only ever a value, never a template;
templates run sandboxed, HTML is escaped, and a name that does not exist is an error, not an empty place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import CodeType

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2 import TemplateError as JinjaError
from jinja2.loaders import DictLoader
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from mailbridge.core.compose import LONGEST_SUBJECT, reply_subject
from mailbridge.core.encode import clean_line

LONGEST_FIELD = 300
"""Characters of a single-line value (`| line`) in a text."""
_SUBJECT = re.compile(r"Subject:[ \t]*([^\n]*)\n\r?\n")
_LEADING = re.compile(r"^ +|(?<= ) +", re.MULTILINE)


class TemplateError(Exception):
    """A template is missing, broken or uses a name it is not given. The message is `file:line: why`."""

    def __init__(self, file: str, line: int, why: str) -> None:
        super().__init__(f"{file}:{line}: {why}")
        self.file = file
        self.line = line
        """From 1; 0 when it is about the whole file."""
        self.why = why


@dataclass(frozen=True, slots=True)
class Rendered:
    """The words of one mail. `subject` is one clean line."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    subject: Template
    text: Template
    html: Template


def as_html(value: object) -> Markup:
    """Filter `html`: text escaped, with its line breaks and its indentation kept."""
    escaped = escape(str(value).replace("\r\n", "\n").rstrip("\n"))
    spaced = _LEADING.sub(lambda m: "&nbsp;" * len(m[0]), escaped)
    return Markup(spaced.replace("\n", "<br>\n"))  # noqa: S704 - escaped above


def quoted(value: object) -> str:
    """Filter `quoted`: every line behind '> ', quotes of quotes as '>>' (RFC 3676 4.5)."""
    lines = str(value).rstrip("\n").splitlines()
    return "\n".join(f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in lines)


def as_line(value: object) -> str:
    """Filter `line`: one clean line, so that no value can write lines of its own into a mail."""
    return clean_line(str(value), LONGEST_FIELD)


def tagged(subject: object, ticket_key: object) -> str:
    """Filter `tagged(ticket_key)`: 'Re: [#KEY] subject', as `compose.reply_subject`."""
    return reply_subject(str(subject), f"[#{ticket_key}]")


class Templates:
    """A set of templates, all compiled. Reloading is making another one."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """`sources` by file name. Raises TemplateError when one is broken or lacks its other half."""
        self._sources = dict(sources)
        self._environment = ImmutableSandboxedEnvironment(
            loader=DictLoader(self._sources),
            undefined=StrictUndefined,
            autoescape=lambda name: name is not None and name.endswith(".html"),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {"html": as_html, "quoted": quoted, "line": as_line, "tagged": tagged}
        self._compiled: dict[str, _Compiled] = {}
        for file in self._sources:
            name, dot, kind = file.rpartition(".")
            if not dot or kind not in {"txt", "html"}:
                raise TemplateError(file, 0, "a template is a .txt or a .html file")
            if not name.startswith("_") and name not in self._compiled:  # _x.txt is there to be included
                self._compiled[name] = self._compile(name)

    @property
    def names(self) -> frozenset[str]:
        """The names `render` knows."""
        return frozenset(self._compiled)

    def render(self, name: str, context: Mapping[str, object]) -> Rendered:
        """The words of mail `name`. Raises TemplateError when a value is missing, or the template fails."""
        template = self._compiled.get(name)
        if template is None:
            raise TemplateError(f"{name}.txt", 0, "there is no such template")
        subject = self._run(template.subject, context)
        text = self._run(template.text, context)
        html = self._run(template.html, context)
        return Rendered(clean_line(subject, LONGEST_SUBJECT), text.strip("\n") + "\n", html.strip() + "\n")

    def undeclared(self, file: str, given: frozenset[str]) -> list[tuple[int, str]]:
        """(line, name) of each name that template `file` uses and is not given, in any branch."""
        tree = self._environment.parse(self._sources[file], file)
        wrong = find_undeclared_variables(tree) - given
        found = {(n.lineno, n.name) for n in tree.find_all(nodes.Name) if n.ctx == "load" and n.name in wrong}
        return sorted(found)

    def _compile(self, name: str) -> _Compiled:
        for file in (f"{name}.txt", f"{name}.html"):
            if file not in self._sources:
                raise TemplateError(file, 0, "missing; a mail needs both its .txt and its .html")
        source = self._sources[f"{name}.txt"]
        head = _SUBJECT.match(source)
        if not head:
            raise TemplateError(f"{name}.txt", 1, "must begin with 'Subject: ...' and an empty line")
        # The subject is a template of its own, so no value can end it early; the body keeps its line numbers.
        body = "\n" * source[: head.end()].count("\n") + source[head.end() :]
        return _Compiled(
            self._template(f"{name}.txt", head[1]),
            self._template(f"{name}.txt", body),
            self._template(f"{name}.html", self._sources[f"{name}.html"]),
        )

    def _template(self, file: str, source: str) -> Template:
        try:
            code: CodeType = self._environment.compile(source, name=file, filename=file)
        except TemplateSyntaxError as error:
            raise TemplateError(error.name or file, error.lineno, error.message or "broken") from error
        return Template.from_code(self._environment, code, self._environment.make_globals(None))

    def _run(self, template: Template, context: Mapping[str, object]) -> str:
        try:
            return template.render(context)
        except TemplateSyntaxError as error:  # in an included file
            raise TemplateError(
                error.name or str(template.name), error.lineno, error.message or "broken"
            ) from error
        except (JinjaError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            file, line = self._place(error, str(template.name))
            raise TemplateError(file, line, str(error)) from error

    def _place(self, error: Exception, file: str) -> tuple[str, int]:
        """Where in which template: Jinja2 puts the templates' own lines into the traceback."""
        place = (file, 0)
        trace = error.__traceback__
        while trace:
            if trace.tb_frame.f_code.co_filename in self._sources:
                place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            trace = trace.tb_next
        return place


_EVERYWHERE: Mapping[str, object] = {
    "ticket_key": "ABCD-EFGH",
    "mailbox_name": "Support",
    "mailbox_address": "support@desk.example",
    "subject": "The printer is broken",
}
_REPLY_MARKER = "##- Please write your reply above this line -##"

SAMPLES: Mapping[str, Mapping[str, object]] = {
    "acknowledgement": {**_EVERYWHERE, "verified": True, "body_marker": "ref:abc"},
    "answer": {
        **_EVERYWHERE,
        "agent_name": "Bart",
        "text": "Please switch it on.\n",
        "quoted": "It prints nothing.\n",
        "quoted_author": "Anne",
        "solved_reason": "as we agreed",
        "body_marker": "ref:abc",
    },
    "notification": {
        **_EVERYWHERE,
        "what": "new request",
        "by": "Anne",
        "requester": "Anne <anne@customer.example>",
        "collaborators": ["Cris <cris@customer.example>"],
        "number": 42,
        "priority": "S3",
        "priority_word": "Tolerable",
        "status": "open",
        "text": "It prints nothing.\n",
        "attachments": [("photo.jpg", 48_000)],
        "attachments_enclosed": True,
        "warnings": ["The sender's address was not verified."],
        "commands_help": "#solved agreed",
        "reply_marker": _REPLY_MARKER,
        "body_marker": "ref:abc",
    },
    "receipt": {
        **_EVERYWHERE,
        "applied": ["#solved agreed"],
        "rejected": [(2, "#priorty S2", "there is no such command")],
        "text": "Please switch it on.\n",
        "status": "open",
        "priority": "S3",
        "commands_help": "#solved agreed",
        "reply_marker": _REPLY_MARKER,
    },
    "solved": {
        **_EVERYWHERE,
        "solved_reason": "as we agreed",
        "bug_reference": "BUG-7",
        "bug_timeline": "May",
        "body_marker": "ref:abc",
    },
}
"""What each mail is given: the names are the contract between templates and code, the values an example."""


def _bare(value: object) -> object:
    """The other value a template may meet: no list entries, a flag that is not set."""
    if isinstance(value, list):
        return []
    return False if value is True else value


def check_templates(templates: Templates) -> None:
    """Raise TemplateError unless every mail is there, uses only the names it is given, and renders.

    Done at load, so that a slip in an operator's template is found then and not by a customer. Branches the
    sample does not take are checked for their names too.
    """
    for name, sample in SAMPLES.items():
        for file in (f"{name}.txt", f"{name}.html"):
            if name not in templates.names:
                raise TemplateError(file, 0, "missing")
            for line, unknown in templates.undeclared(file, frozenset(sample)):
                allowed = ", ".join(sorted(sample))
                raise TemplateError(file, line, f"'{unknown}' is not known here; known are {allowed}")
        templates.render(name, sample)
        templates.render(name, {key: _bare(value) for key, value in sample.items()})
    if unknown_names := sorted(templates.names - set(SAMPLES)):
        known = ", ".join(sorted(SAMPLES))
        raise TemplateError(f"{unknown_names[0]}.txt", 0, f"no mail has this name; known are {known}")

"""What is known to carry content away: monitoring, debugging tools, logs.

No view's window can help against what a view itself logs or reports, and not against tools that
copy variables of its frames while it runs. Only what is loaded in this process is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from .findings import Check, Finding, Subject, Weakness

SENTRY_LOCALS = Weakness(
    "sentry-locals",
    "warning",
    "Sentry copies the variables of frames: those of exceptions that a view catches and reports"
    " itself have plaintext.",
    "Write `sentry_sdk.init(include_local_variables=False)`, or set `stack_frame_variables` of"
    " `data_collection` to False.",
)
SENTRY_PII = Weakness(
    "sentry-pii",
    "warning",
    "Sentry sends cookies, tokens and addresses of requests.",
    "Leave `send_default_pii` away from `sentry_sdk.init`; of `data_collection`, set `user_info`"
    " to False.",
)
SENTRY_BODY = Weakness(
    "sentry-body",
    "warning",
    "Sentry sends the bodies of requests, in clear those of views that are not sealed.",
    'Write `sentry_sdk.init(max_request_body_size="never")`, or set `http_bodies` of'
    " `data_collection` to an empty list.",
)
TOOLBAR = Weakness(
    "debug-toolbar",
    "error",
    "Flask-DebugToolbar shows requests, variables, SQL and the configuration.",
    "Install it for development alone.",
)
DDTRACE = Weakness(
    "ddtrace-replay",
    "warning",
    "ddtrace copies the variables of frames.",
    "Leave DD_EXCEPTION_REPLAY_ENABLED and DD_DYNAMIC_INSTRUMENTATION_ENABLED away.",
)
DDTRACE_QUERY = Weakness(
    "ddtrace-query",
    "note",
    "ddtrace sends query strings.",
    "Let clients hide queries, or set DD_TRACE_HTTP_SERVER_TAG_QUERY_STRING=false.",
)
ELASTIC = Weakness(
    "elastic-capture",
    "warning",
    "Elastic APM sends the bodies of requests, or the variables of frames.",
    "Set CAPTURE_BODY to 'off' and COLLECT_LOCAL_VARIABLES to 'off'.",
)
ROLLBAR = Weakness(
    "rollbar-locals",
    "warning",
    "Rollbar copies the variables of frames.",
    'Write `rollbar.init(..., locals={"enabled": False})`.',
)
RAYGUN = Weakness(
    "raygun",
    "warning",
    "Raygun sends the environment and the variables of frames.",
    "Write `transmitLocalVariables=False`, and keep keys out of the environment.",
)
SCOUT = Weakness(
    "scout",
    "warning",
    "Scout sends app.config.",
    "Keep secrets out of app.config, or use another tool.",
)
LOGURU = Weakness(
    "loguru-diagnose",
    "warning",
    "Loguru writes the values of variables into tracebacks.",
    "Write `logger.add(..., diagnose=False)`, after `logger.remove()`.",
)
RICH = Weakness(
    "traceback-locals",
    "warning",
    "Tracebacks on the console show the values of variables.",
    "Leave `show_locals` of rich, and cgitb, away.",
)
SQL_ECHO = Weakness(
    "sql-echo",
    "warning",
    "SQL is logged with its parameters.",
    "Leave SQLALCHEMY_ECHO and SQLALCHEMY_RECORD_QUERIES away.",
)
SQL_PARAMETERS = Weakness(
    "sql-parameters",
    "note",
    "Messages of SQLAlchemy's errors quote the parameters of statements.",
    'Write `SQLALCHEMY_ENGINE_OPTIONS = {"hide_parameters": True}`.',
)

_ON = frozenset(("1", "on", "true", "yes"))


def _sentry(subject: Subject) -> Iterator[Finding]:  # noqa: ARG001 - it is of the process
    sdk: Any = sys.modules.get("sentry_sdk")
    if sdk is None or not hasattr(sdk, "get_client"):
        return
    client = sdk.get_client()
    if not client.is_active():
        return
    options = client.options
    # It goes before the older options, where the version knows it and it was given.
    given = options.get("data_collection") or {}
    if not given.get("provided_by_user"):
        given = {
            "stack_frame_variables": options.get("include_local_variables"),
            "user_info": options.get("send_default_pii"),
            "http_bodies": True,
        }
    if given["stack_frame_variables"]:
        yield SENTRY_LOCALS.found("include_local_variables")
    if given["user_info"]:
        yield SENTRY_PII.found("send_default_pii")
    if given["http_bodies"] and options.get("max_request_body_size") != "never":
        yield SENTRY_BODY.found("max_request_body_size")


def _tools(subject: Subject) -> Iterator[Finding]:
    if "debugtoolbar" in subject.app.blueprints:
        yield TOOLBAR.found()
    if "raygun4py" in sys.modules:
        yield RAYGUN.found()
    if "scout_apm" in sys.modules:
        yield SCOUT.found()
    rollbar: Any = sys.modules.get("rollbar")
    if rollbar is not None and _dig(rollbar, "SETTINGS", "locals", "enabled"):
        yield ROLLBAR.found()


def _ddtrace(subject: Subject) -> Iterator[Finding]:
    if "ddtrace" not in sys.modules:
        return
    copying = ("DD_EXCEPTION_REPLAY_ENABLED", "DD_DYNAMIC_INSTRUMENTATION_ENABLED")
    on = [name for name in copying if subject.environ.get(name, "").lower() in _ON]
    if on:
        yield DDTRACE.found(*on)
    tags = subject.environ.get("DD_TRACE_HTTP_SERVER_TAG_QUERY_STRING", "true")
    if tags.lower() in _ON:
        yield DDTRACE_QUERY.found()


def _elastic(subject: Subject) -> Iterator[Finding]:  # noqa: ARG001 - it is of the process
    agent: Any = sys.modules.get("elasticapm")
    client = agent.get_client() if agent is not None else None
    if client is None:
        return
    names = ("capture_body", "collect_local_variables")
    on = [name for name in names if getattr(client.config, name, "off") != "off"]
    if on:
        yield ELASTIC.found(*on)


def _tracebacks(subject: Subject) -> Iterator[Finding]:  # noqa: ARG001 - it is of the process
    loguru: Any = sys.modules.get("loguru")
    handlers = _dig(loguru, "logger", "_core", "handlers") or {}
    if any(_dig(one, "_exception_formatter", "_diagnose") for one in handlers.values()):
        yield LOGURU.found()
    hook = sys.excepthook
    shows = dict(zip(_freevars(hook), getattr(hook, "__closure__", None) or (), strict=False))
    rich = "show_locals" in shows and bool(shows["show_locals"].cell_contents)
    if rich or type(hook).__module__ == "cgitb":
        yield RICH.found()


def _freevars(function: object) -> tuple[str, ...]:
    names: tuple[str, ...] = _dig(function, "__code__", "co_freevars") or ()
    return names


def _sql(subject: Subject) -> Iterator[Finding]:
    if "sqlalchemy" not in subject.app.extensions:
        return
    config = subject.app.config
    names = ("SQLALCHEMY_ECHO", "SQLALCHEMY_RECORD_QUERIES")
    if on := [name for name in names if config.get(name)]:
        yield SQL_ECHO.found(*on)
    if not (config.get("SQLALCHEMY_ENGINE_OPTIONS") or {}).get("hide_parameters"):
        yield SQL_PARAMETERS.found("SQLALCHEMY_ENGINE_OPTIONS")


def _dig(thing: Any, *names: str) -> Any:
    """An attribute or item of an attribute or item; ``None`` where there is none."""
    for name in names:
        thing = thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
    return thing


CHECKS: tuple[Check, ...] = (_sentry, _tools, _ddtrace, _elastic, _tracebacks, _sql)

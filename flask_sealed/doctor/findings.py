"""What a finding says, and what checks look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from flask import Flask
from werkzeug.routing import Rule

from ..config import ProfileName, Settings
from ..policy import Policies, Policy, is_automatic
from ..views import OWN

#: ``error``: content or keys are open, or nothing works. ``warning``: weaker than it could be.
#: ``note``: to be known.
Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is weak or wrong."""

    #: Stays the same over all versions.
    id: str
    severity: Severity
    what: str
    remedy: str
    #: The settings, views or files that it is about; none of their values.
    where: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """Where the documentation says more."""
        return f"doctor.html#{self.id}"


@dataclass(frozen=True, slots=True)
class Weakness:
    """What can be found."""

    id: str
    severity: Severity
    what: str
    remedy: str

    def found(self, *where: str) -> Finding:
        """The finding that it is so, and where."""
        return Finding(self.id, self.severity, self.what, self.remedy, where)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An application, and what it will run in."""

    app: Flask
    settings: Settings
    policies: Policies
    environ: Mapping[str, str]
    now: int

    def rules(self) -> Iterator[tuple[Rule, dict[str, Policy | None]]]:
        """The application's own rules, each with what its methods demand."""
        for rule in self.app.url_map.iter_rules():
            if rule.endpoint.startswith(OWN):
                continue
            yield (
                rule,
                {
                    method: self.policies.get((rule.endpoint, method))
                    for method in sorted(rule.methods or ())
                    if not is_automatic(rule, method)
                },
            )

    def sealed(self) -> Iterator[tuple[str, Policy]]:
        """The application's own sealed views."""
        for (endpoint, _), policy in sorted(self.policies.items(), key=lambda item: item[0]):
            if not endpoint.startswith(OWN):
                yield endpoint, policy

    def profile(self, policy: Policy) -> ProfileName:
        """The profile of a policy."""
        return policy.profile or self.settings.profile


Check = Callable[[Subject], Iterator[Finding]]

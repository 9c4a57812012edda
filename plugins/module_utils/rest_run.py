# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a module on the engine of rest.py: what every such module does, whichever API it is about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, List, Optional, Protocol, Type

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.http_session import Session
from ansible_collections.banking.platform.plugins.module_utils.kube.spec import unpack
from ansible_collections.banking.platform.plugins.module_utils.plan import APPROVED, Failure
from ansible_collections.banking.platform.plugins.module_utils.rest import Api, Reconciler, Wish

# Options of every such module; documented in plugins/doc_fragments/rest_run.py.
OPTIONS: dict[str, dict[str, Any]] = {
    "prune": {"type": "bool", "default": False},
    "prune_protected": {"type": "bool", "default": False},
    "update_secrets": {"type": "bool", "default": False, "no_log": False},
    "packed": {"type": "str", "no_log": True},
    **APPROVED,
}


class Client(Api, Protocol):
    """The client of a run.

    Attributes:
        session: its requests.
        warnings: what the server warned of.
        seen: secrets that it was given or told, for masking.
    """

    session: Session
    warnings: list[str]
    seen: set[str]

    def is_there(self) -> bool:
        """Whether the server answers: before the first install it does not."""

    def close(self) -> None:
        """Close the connections."""


class Run(ABC):
    """One run: what it found and did, as far as it came. A module says of itself what follows.

    Attributes:
        first: what has to come first, for check mode before the first install.
        declared: the options that hold what is declared.
    """

    first = ""
    declared: Sequence[str] = ()

    @abstractmethod
    def wishes(self) -> List[Wish]:
        """What is wanted, one a kind."""

    @abstractmethod
    def client(self) -> Client:
        """The client."""

    @abstractmethod
    def refuse(self, api: Any, reconciler: Reconciler) -> List[str]:
        """See that what is planned can be done, as far as the server tells without doing it; gives warnings.

        Raises:
            Failure: naming everything that is wrong.
        """

    def __init__(self, params: dict[str, Any], check: bool, with_diff: bool) -> None:
        self.params, self.check, self.with_diff = params, check, with_diff
        self.warnings: list[str] = []
        self.reconciler: Reconciler | None = None
        self.requests: Mapping[str, int] = {}
        self.seen: set[str] = set()

    @property
    def secrets(self) -> set[str]:
        """What must not be seen. The plan is masked by itself; what a server says of something refused may hold any."""
        return self.seen | (self.reconciler.secrets if self.reconciler else set())

    def _reconciler(self, api: Client | None, deferred: str = "") -> Reconciler:
        options = {name: self.params[name] for name in ("prune", "prune_protected", "update_secrets")}
        self.reconciler = Reconciler(api, self.wishes(), with_diff=self.with_diff, deferred=deferred, **options)
        return self.reconciler

    def do(self) -> None:
        """Plan, and apply unless in check mode.

        Raises:
            Failure: with the plan as far as it came.
        """
        self._reconciler(None)  # what is wrong in itself is said without a server, too
        api = self.client()
        try:
            if self.check and not api.is_there():
                self._reconciler(None, self.first).make_plan()
                return
            self._with(api)
        finally:
            self.requests, self.seen = api.session.requests, api.seen
            api.close()

    def _with(self, api: Client) -> None:
        reconciler = self._reconciler(api)
        plan = reconciler.make_plan()
        self.warnings += self.refuse(api, reconciler)
        plan.hold_to(self.params["approved"])
        if self.check or not plan.steps:
            return
        try:
            reconciler.apply()
        finally:
            self.warnings += api.warnings
        self._look_again(api)

    def _look_again(self, api: Client) -> None:
        """Say what the server has not taken as it was written: a second run would find it differing again."""
        for step in Reconciler(api, self.wishes(), prune=self.params["prune"]).make_plan().steps:
            if step.action == "update":
                self.warnings.append(f"{step.kind} {step.target}: the server has kept {step.before} for {step.after}")

    def result(self) -> dict[str, Any]:
        """The module's result. The options are not given back: they hold secrets."""
        result: dict[str, Any] = {"changed": False, "plan": [], "deferred": [], "counts": {}, "invocation": None}
        if self.reconciler:
            result.update(self.reconciler.result())
        if self.requests:
            result["requests"] = self.requests
        return result


def end(kind: Type[Run], module: AnsibleModule) -> None:
    """Do all that a module does, and end it.

    Args:
        kind: its run.
        module: the module. Its option `packed` holds what is declared, when the action plugin has masked it on its way.
    """
    params = module.params
    if params["packed"]:
        declared = unpack(params["packed"])[0]
        params.update({name: declared.get(name) for name in kind.declared})
        params["packed"] = None
    run = kind(params, module.check_mode, module._diff)
    failure: Optional[Failure] = None
    try:
        run.do()
    except Failure as error:
        failure = error
    module.no_log_values.update(run.secrets)
    for warning in run.warnings:
        module.warn(warning)
    result = run.result()
    if failure:
        # What was only planned has changed nothing.
        plan = run.reconciler.plan if run.reconciler else None
        result["changed"] = bool(plan and plan.begun and plan.changed)
        module.fail_json(msg=failure.cause, next_step=failure.next_step, **result)
    module.exit_json(**result)

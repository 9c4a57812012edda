#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: converge
short_description: Bring a node to a desired state in one run
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Renders a tree of templates on the controller and makes files, directories, links, artifacts, kernel modules,
    sysctls and systemd units of a node what they should be, in one module run.
  - Everything is compared first. What differs becomes the steps of a plan, which check mode shows and a run
    applies.
  - New files are written beside the old ones and checked by their own programs before the first of them takes its
    place. When a unit does not come up with its new files, the old ones are put back and the task fails with the
    unit's last journal lines.
attributes:
  check_mode:
    support: full
    description: Nothing is changed. What an earlier stage would have provided is reported as deferred.
  diff_mode:
    support: full
    description: One difference a thing; content of C(sensitive) files and of files with decrypted values is left out.
  platform:
    support: full
    platforms: linux
    description: Linux with systemd and Python 3.8 or newer.
options:
  name:
    description:
      - Names the files in C(/etc/modules-load.d) and C(/etc/sysctl.d), and stands in error messages.
      - The role's name by default; needed outside a role.
    type: str
  root:
    description:
      - Folders on the controller that mirror the node's file system. Later ones win, path by path.
      - Files that end in C(.j2) are rendered, the others copied as they are. They belong to root, with mode
        C(0644), or C(0755) where the source is executable.
      - The role's C(templates/root) by default. C(overlay/<name>) beside the inventory always comes last. With V([])
        the run is about the paths of O(files) only.
    type: list
    elements: path
  files:
    description:
      - Settings of files by path, where they need other ones than the default.
      - Keys are C(owner), C(group), C(mode); C(validate), a command with C(%s) for the new file that must exit with
        0; C(sensitive), to keep the content out of differences; C(template) with C(vars), a template of the role
        that this path is rendered from; C(content), literal text.
      - Of a path that is neither in the tree nor has C(template) or C(content), only owner, group and mode are kept
        as given, where the file exists.
    type: dict
    default: {}
  directories:
    description:
      - Directories by path, with C(owner), C(group), C(mode) and C(purge).
      - With C(purge=true), whatever lies below and is not part of the tree is removed.
    type: dict
    default: {}
  links:
    description: Symbolic links by path, with their target.
    type: dict
    default: {}
  absent:
    description: Paths that must not exist, with all that lies below. They win over the tree.
    type: list
    elements: str
    default: []
  artifacts:
    description:
      - Artifacts of the platform's catalog by name, with C(links), paths on the node and the member of the archive
        behind each.
      - The artifact's architecture comes from the fact C(architecture).
    type: dict
    default: {}
  modules:
    description: Kernel modules that are loaded, now and at boot.
    type: list
    elements: str
    default: []
  sysctl:
    description: Kernel parameters, now and at boot.
    type: dict
    default: {}
  units:
    description:
      - systemd units by full name.
      - Keys are C(state) (V(started) or V(stopped)), C(enabled), C(masked); C(restart_on) and C(reload_on), lists
        of paths (with a trailing slash, all below) whose change means a restart or a reload; C(check), a command
        that must exit with 0 before that; C(ready), with C(command) and C(timeout) in seconds, which must exit with
        0 after it; C(rollback), whether artifacts are put back too when the unit does not come up.
      - The unit's own file and drop-ins, as far as they are part of the tree, count as C(restart_on) unless
        C(reload_on) names them.
    type: dict
    default: {}
  unavailable:
    description:
      - What this node cannot do, as C(modules) and C(sysctl). It is left out and said so; anything else that is
        missing is an error.
      - The variable C(platform_unavailable) by default.
    type: dict
    default: {}
  tree:
    description: The rendered tree. Made by the action plugin.
    type: str
  approved:
    description: The part of the approved plan that nothing may differ from. Made by the action plugin.
    type: dict
"""

EXAMPLES = r"""
- name: Converge HAProxy
  banking.platform.converge:
    files:
      /etc/haproxy/haproxy.cfg:
        group: haproxy
        mode: "0640"
        validate: haproxy -c -f %s
    sysctl:
      net.ipv4.ip_nonlocal_bind: 1
    units:
      haproxy.service:
        state: started
        enabled: true
        reload_on:
          - /etc/haproxy/
        ready:
          command: curl -sf http://127.0.0.1:1936/health
"""

RETURN = r"""
plan:
  description: One step a thing. A failed run also says in C(state) what was done, put back, and not done.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: file
      target: /etc/haproxy/haproxy.cfg
      action: update
      before: {mode: "0644"}
      after: {mode: "0640"}
    - kind: unit
      target: haproxy.service
      action: restart
      note: "restart: /etc/haproxy/haproxy.cfg changes"
deferred:
  description: In check mode, what has to come from elsewhere before a step can be judged.
  returned: always
  type: list
  elements: str
paths:
  description: Paths that changed, or would change.
  returned: always
  type: list
  elements: str
restarted:
  description: Units that were restarted or reloaded.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.node.converge import Converge, system_of
from ansible_collections.banking.platform.plugins.module_utils.node.spec import ARGUMENT_SPEC, complete
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    run = None
    try:
        run = Converge(complete(module.params), system_of(module.tmpdir), module.check_mode)
        run.make_plan()
        missing = run.artifacts.missing_files()
        if missing and not module.check_mode:
            module.exit_json(changed=False, missing_artifacts=missing)
        if not module.check_mode:
            run.apply()
        module.exit_json(**run.result(module._diff))
    except (Failure, OSError) as error:
        result = run.result(module._diff) if run else {}
        # What was only planned has changed nothing.
        result["changed"] = run is not None and run.plan.begun and run.plan.changed
        if isinstance(error, Failure) and error.next_step:
            result["next_step"] = error.next_step
        module.fail_json(msg=getattr(error, "cause", str(error)), **result)


if __name__ == "__main__":
    main()

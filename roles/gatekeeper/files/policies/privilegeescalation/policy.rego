package privilegeescalation

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	c.securityContext.privileged == true
	msg := sprintf("container %v: is privileged", [c.name])
}

violation[{"msg": msg}] {
	c := policy.containers[_]
	not c.securityContext.allowPrivilegeEscalation == false
	msg := sprintf("container %v: allowPrivilegeEscalation is not false", [c.name])
}

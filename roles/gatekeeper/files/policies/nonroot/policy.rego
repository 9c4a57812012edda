package nonroot

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	not policy.setting(c, "runAsNonRoot") == true
	msg := sprintf("container %v: runAsNonRoot is not true, neither its own nor the pod's", [c.name])
}

violation[{"msg": msg}] {
	c := policy.containers[_]
	policy.setting(c, "runAsUser") == 0
	msg := sprintf("container %v: runAsUser is 0", [c.name])
}

package seccompprofile

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	not filtered(c)
	msg := sprintf("container %v: seccompProfile.type, its own or the pod's, is none of %v", [c.name, input.parameters.types])
}

filtered(c) {
	profile := policy.setting(c, "seccompProfile")
	profile.type == input.parameters.types[_]
}

package readonlyroot

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	not c.securityContext.readOnlyRootFilesystem == true
	msg := sprintf("container %v: readOnlyRootFilesystem is not true: mount a volume where it writes", [c.name])
}

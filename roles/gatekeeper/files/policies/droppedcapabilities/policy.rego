package droppedcapabilities

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	not drops_all(c)
	msg := sprintf("container %v: does not drop all capabilities (capabilities.drop: [ALL])", [c.name])
}

violation[{"msg": msg}] {
	c := policy.containers[_]
	capability := c.securityContext.capabilities.add[_]
	not allowed(capability)
	msg := sprintf("container %v: adds capability %v", [c.name, capability])
}

# With and without the kernel's prefix it is the same.
drops_all(c) {
	upper(c.securityContext.capabilities.drop[_]) == "ALL"
}

allowed(capability) {
	trim_prefix(upper(capability), "CAP_") == input.parameters.allowed[_]
}

package containerresources

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.sized[_]
	which := ["requests", "limits"][_]
	resource := input.parameters[which][_]
	not said(c, which, resource)
	msg := sprintf("container %v: says nothing of resources.%v.%v", [c.name, which, resource])
}

said(c, which, resource) {
	_ = c.resources[which][resource]
}

# What has a limit and no request asks for as much as its limit: the API server writes that into the pod.
said(c, "requests", resource) {
	_ = c.resources.limits[resource]
}

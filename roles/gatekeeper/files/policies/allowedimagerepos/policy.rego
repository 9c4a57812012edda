package allowedimagerepos

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	not allowed(c.image)
	msg := sprintf("container %v: image %v is of no allowed repository: bring it to the bank's registry", [c.name, c.image])
}

allowed(image) {
	policy.below(image, input.parameters.repos[_])
}

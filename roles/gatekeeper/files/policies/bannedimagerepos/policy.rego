package bannedimagerepos

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	repo := input.parameters.repos[_]
	policy.below(c.image, repo)
	msg := sprintf("container %v: image %v uses banned repository %v", [c.name, c.image, repo])
}

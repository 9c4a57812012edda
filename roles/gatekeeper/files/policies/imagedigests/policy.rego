package imagedigests

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	not pinned(c.image)
	msg := sprintf("container %v: image %v is not named by a digest (@sha256:...)", [c.name, c.image])
}

pinned(image) {
	parts := split(policy.digest(image), ":")
	parts[0] == "sha256"
	count(parts[1]) == 64
}

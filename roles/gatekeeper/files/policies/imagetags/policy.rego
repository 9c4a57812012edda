package imagetags

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.containers[_]
	not policy.digest(c.image)
	not policy.tag(c.image)
	msg := sprintf("container %v: image %v has neither tag nor digest", [c.name, c.image])
}

violation[{"msg": msg}] {
	c := policy.containers[_]
	not policy.digest(c.image)
	tag := policy.tag(c.image)
	tag == input.parameters.moving[_]
	msg := sprintf("container %v: tag %v of image %v is another image tomorrow: name a version", [c.name, tag, c.image])
}

package containerprobes

import data.lib.policy

violation[{"msg": msg}] {
	c := policy.lasting[_]
	probe := input.parameters.probes[_]
	not asks(c, probe)
	msg := sprintf("container %v: has no %v", [c.name, probe])
}

# A probe that names no way to ask is none.
asks(c, probe) {
	c[probe][ways[_]]
}

ways = ["exec", "grpc", "httpGet", "tcpSocket"]

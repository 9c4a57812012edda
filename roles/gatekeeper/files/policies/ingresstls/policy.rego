package ingresstls

import data.lib.policy

group = input.review.kind.group

safe = {"HTTPS", "TLS"}

violation[{"msg": msg}] {
	not policy.exempt
	group == "networking.k8s.io"
	host := object.get(policy.subject.spec.rules[_], "host", "")
	not secured(host)
	msg := sprintf("host %v has no certificate (spec.tls)", [host])
}

# Everything that no rule is about.
violation[{"msg": msg}] {
	not policy.exempt
	group == "networking.k8s.io"
	policy.subject.spec.defaultBackend
	not policy.subject.spec.tls
	msg := "defaultBackend has no certificate (spec.tls)"
}

secured(host) {
	host == policy.subject.spec.tls[_].hosts[_]
}

# One of Istio's: plain HTTP may lead to HTTPS, and nowhere else.
violation[{"msg": msg}] {
	not policy.exempt
	group == "networking.istio.io"
	server := policy.subject.spec.servers[_]
	not encrypted(server)
	msg := sprintf("port %v takes %v: give it tls, or tls.httpsRedirect", [server.port.number, server.port.protocol])
}

encrypted(server) {
	safe[upper(server.port.protocol)]
	_ = server.tls
}

encrypted(server) {
	server.tls.httpsRedirect == true
}

violation[{"msg": msg}] {
	not policy.exempt
	group == "gateway.networking.k8s.io"
	listener := policy.subject.spec.listeners[_]
	not safe[upper(listener.protocol)]
	msg := sprintf("listener %v takes %v: give it HTTPS or TLS", [listener.name, listener.protocol])
}

package nodeports

import data.lib.policy

violation[{"msg": msg}] {
	not policy.exempt
	policy.subject.spec.type == "NodePort"
	msg := "is of type NodePort: have the gateway lead to it"
}

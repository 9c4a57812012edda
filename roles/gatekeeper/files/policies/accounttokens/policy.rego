package accounttokens

import data.lib.policy

violation[{"msg": msg}] {
	policy.created
	not policy.exempt
	nobodys[object.get(policy.subject.spec, "serviceAccountName", "")]
	not policy.subject.spec.automountServiceAccountToken == false
	msg := "runs as the account default and does not say automountServiceAccountToken: false: give it an account of its own, or none"
}

nobodys = {"", "default"}

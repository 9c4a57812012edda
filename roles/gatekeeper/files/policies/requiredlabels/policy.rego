package requiredlabels

import data.lib.policy

violation[{"msg": msg}] {
	policy.created
	not policy.exempt
	label := input.parameters.labels[_]
	object.get(policy.labels, label.key, "") == ""
	msg := sprintf("has no label %v", [label.key])
}

violation[{"msg": msg}] {
	policy.created
	not policy.exempt
	label := input.parameters.labels[_]
	value := policy.labels[label.key]
	value != ""
	not regex.match(concat("", ["^(", label.pattern, ")$"]), value)
	msg := sprintf("label %v: %v does not fit %v", [label.key, value, label.pattern])
}

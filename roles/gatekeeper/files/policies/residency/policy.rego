package residency

import data.lib.policy

violation[{"msg": msg}] {
	policy.created
	not policy.exempt
	place := input.parameters.places[_]
	value := said[place.key][_]
	not among(place.values, value)
	msg := sprintf("%v %v is none of the bank's: %v", [place.key, value, place.values])
}

# A node that does not say where it is may be anywhere.
violation[{"msg": msg}] {
	input.review.kind.kind == "Node"
	not policy.exempt
	place := input.parameters.places[_]
	object.get(policy.labels, place.key, "") == ""
	msg := sprintf("has no label %v", [place.key])
}

among(values, value) {
	values[_] == value
}

# Places that the object names, by the label of nodes that holds them.
said[key] = values {
	key := input.parameters.places[_].key
	values := ((labelled(key) | selected(key)) | expected(key)) | allowed(key)
}

labelled(key) = {value |
	input.review.kind.kind == "Node"
	value := policy.labels[key]
}

selected(key) = {value | value := policy.subject.spec.nodeSelector[key]}

# Affinities of pods and of volumes. An expression with another operator names no place where it may be.
expected(key) = {value |
	expression := terms[_].matchExpressions[_]
	expression.key == key
	expression.operator == "In"
	value := expression.values[_]
}

terms = all {
	all := (pods | preferred) | volumes
}

pods = {term | term := policy.subject.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[_]}

preferred = {term | term := policy.subject.spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[_].preference}

volumes = {term | term := policy.subject.spec.nodeAffinity.required.nodeSelectorTerms[_]}

# Where a StorageClass makes volumes.
allowed(key) = {value |
	expression := policy.subject.allowedTopologies[_].matchLabelExpressions[_]
	expression.key == key
	value := expression.values[_]
}

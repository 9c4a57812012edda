# What policies share: which exemptions hold for an object, which containers of a pod are judged, and what an image is called.
package lib.policy

subject = input.review.object

metadata = object.get(subject, "metadata", {})

name = object.get(metadata, "name", "")

labels = object.get(metadata, "labels", {})

# Objects of the cluster have none.
namespace = object.get(metadata, "namespace", "")

# --- Exemptions ------------------------------------------------------------------------------------------------------

exemptions[e] {
	e := input.parameters.exemptions[_]
	fits(e.namespaces, namespace)
	named(e)
	not mislabelled(e)
}

named(e) {
	not e.names
}

named(e) {
	fits(e.names, name)
}

mislabelled(e) {
	value := e.labels[key]
	object.get(labels, key, "") != value
}

# The object as a whole.
exempt {
	exemptions[e]
	not e.containers
	not e.images
}

# Where an exemption names containers and images, both must fit: a name alone is anybody's to choose.
exempt_container(c) {
	exemptions[e]
	container_named(e, c)
	container_of(e, c)
}

container_named(e, c) {
	not e.containers
}

container_named(e, c) {
	fits(e.containers, c.name)
}

container_of(e, c) {
	not e.images
}

container_of(e, c) {
	below(c.image, e.images[_])
}

# One of the patterns: a name, or its beginning with * behind it.
fits(patterns, text) {
	patterns[_] == text
}

fits(patterns, text) {
	pattern := patterns[_]
	endswith(pattern, "*")
	startswith(text, trim_suffix(pattern, "*"))
}

# --- Pods ------------------------------------------------------------------------------------------------------------

# Most of a pod never changes: who only labels one is not told what was wrong with it from the start.
created {
	not input.review.oldObject.metadata
}

judged(list, c) {
	not exempt_container(c)
	not unchanged(list, c)
}

unchanged(list, c) {
	input.review.oldObject.spec[list][_] == c
}

lists = ["containers", "initContainers", "ephemeralContainers"]

containers[c] {
	list := lists[_]
	c := subject.spec[list][_]
	judged(list, c)
}

# Those that may ask for resources: the ones for debugging may not.
sized[c] {
	list := ["containers", "initContainers"][_]
	c := subject.spec[list][_]
	judged(list, c)
}

# Those that are to go on running: not of jobs, nor those that only prepare a pod.
lasting[c] {
	object.get(subject.spec, "restartPolicy", "Always") == "Always"
	c := subject.spec.containers[_]
	judged("containers", c)
}

lasting[c] {
	object.get(subject.spec, "restartPolicy", "Always") == "Always"
	c := subject.spec.initContainers[_]
	c.restartPolicy == "Always"
	judged("initContainers", c)
}

# What holds for a container: its own setting, else the pod's.
setting(c, key) = value {
	value := c.securityContext[key]
}

setting(c, key) = value {
	not own(c, key)
	value := subject.spec.securityContext[key]
}

own(c, key) {
	_ = c.securityContext[key]
}

# --- Images ----------------------------------------------------------------------------------------------------------

# The name by which the container runtime pulls it: with its registry, and with `library` where Docker Hub has that.
reference(image) = complete(lower(image)) {
	hosted(lower(image))
	not startswith(lower(image), "index.docker.io/")
}

reference(image) = complete(trim_prefix(lower(image), "index.")) {
	startswith(lower(image), "index.docker.io/")
}

reference(image) = complete(concat("/", ["docker.io", lower(image)])) {
	not hosted(lower(image))
}

hosted(image) {
	parts := split(image, "/")
	count(parts) > 1
	host(parts[0])
}

host(part) {
	contains(part, ".")
}

host(part) {
	contains(part, ":")
}

host(part) {
	part == "localhost"
}

complete(image) = concat("/", ["docker.io/library", parts[1]]) {
	official(image)
	parts := split(image, "/")
}

complete(image) = image {
	not official(image)
}

official(image) {
	startswith(image, "docker.io/")
	count(split(image, "/")) == 2
}

# Without tag and digest.
repository(image) = concat("/", array.concat(array.slice(parts, 0, last), [plain])) {
	parts := split(split(reference(image), "@")[0], "/")
	last := count(parts) - 1
	plain := split(parts[last], ":")[0]
}

# Whether an image is of a registry, of a folder in it, or of a repository. `harbor.bank` is not `harbor.bank.example.org`.
below(image, place) {
	repository(image) == trim_suffix(lower(place), "/")
}

below(image, place) {
	startswith(repository(image), concat("", [trim_suffix(lower(place), "/"), "/"]))
}

tag(image) = parts[1] {
	path := split(split(image, "@")[0], "/")
	parts := split(path[count(path) - 1], ":")
}

digest(image) = parts[1] {
	parts := split(image, "@")
}

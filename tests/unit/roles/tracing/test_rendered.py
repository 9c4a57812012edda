from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES
import pytest
@pytest.mark.parametrize("release", RELEASES)
def test_a(rendered, release):
    found = rendered("tracing", release, tracing_monitoring=True)
    import yaml
    print(found.refused)
    for k in found.objects: print(k)
    print(yaml.safe_dump(found.objects["OpenTelemetryCollector","agent"]["spec"]["config"]))
    print(yaml.safe_dump(found.objects["OpenTelemetryCollector","gateway"]["spec"]["config"]))
    print(yaml.safe_dump(found.charts))
    assert 0

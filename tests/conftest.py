"""For all tests."""

from hypothesis import HealthCheck, settings

# How fast a busy machine is says nothing about whether a property holds.
settings.register_profile("nightlab", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nightlab")

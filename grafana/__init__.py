"""Dashboards and alert rules as code: `make dashboards` writes the JSON that Grafana reads."""

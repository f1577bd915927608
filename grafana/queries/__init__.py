"""The queries of dashboards and alerts that are too long to stand beside their panels."""

"""Child processes: started, monitored, restarted by policy, stopped in order."""

"""Scripted faults: what goes wrong between the world and its clients; the world itself stays true."""

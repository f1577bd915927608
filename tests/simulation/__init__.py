"""The whole chain in one process, in virtual time, from one seed (`make simulation`)."""

"""An exchange that nobody has, both sides of it, as small as the ports allow."""

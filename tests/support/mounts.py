"""File systems that a test mounts in a namespace of its own."""

HIDES = "mount -t proc -o hidepid=2 proc /proc"

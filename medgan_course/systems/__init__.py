"""Published systems, one file each, composed from the parts of the library."""

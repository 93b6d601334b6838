"""Where a runner comes from: built from the wheels' libraries, or written in Python; and how it is started."""

"""The commands of `clarion`, one file a subject. Each is imported only when it is called."""

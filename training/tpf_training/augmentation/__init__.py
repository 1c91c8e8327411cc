"""Changes of crops that teach the tracker to live with what cameras and scenes do."""

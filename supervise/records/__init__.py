"""Records of runs on disk: writing, reading, retention, the recovery of lost runs, and the locks of runs."""

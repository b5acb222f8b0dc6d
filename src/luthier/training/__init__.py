"""Training: one loop for every objective, a step that is exact under any split, a state that resumes bit for bit."""

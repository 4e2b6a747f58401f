"""What is made of records before anything is drawn: points, fronts, Bjontegaard deltas, groups."""

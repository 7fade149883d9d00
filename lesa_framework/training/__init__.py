"""Training of predictors: two stages, from true features and in closed loop."""

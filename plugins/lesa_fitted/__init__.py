"""The predictor `fitted`: one affine filter for each step, fitted in closed loop to the uncached trajectory."""

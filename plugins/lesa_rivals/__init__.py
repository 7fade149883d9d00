"""Published training-free predictors other than TaylorSeer; see README.md."""

"""Features of past steps: where they are kept, and how they are added up."""

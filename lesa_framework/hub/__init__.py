"""Configurations with their weights as folders and as repositories of the Hugging Face hub, with a model card."""

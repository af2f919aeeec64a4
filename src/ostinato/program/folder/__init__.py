"""The model folder: saved and loaded without pickle, with its model card and report page."""

"""From a user's file to a trained network: data, tasks, training, the model folder, estimators.

`python` is the face of it for programs, `commands` for the command line.
"""

"""From a user's file to a trained network: data, tasks, training, the model folder, estimators."""

"""The command `iree-substitute`: reads arguments, calls one function below, prints. Nothing else prints or exits."""

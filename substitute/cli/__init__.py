"""The command `iree-substitute`: parses arguments, calls one function of a lower layer, prints. Nothing else prints or
exits.
"""

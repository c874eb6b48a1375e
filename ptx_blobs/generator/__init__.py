"""Writes the PTX of this folder: what is shipped is the text, and a test compares the two.

`python -m ptx_blobs.generator` writes every kernel's text and `index.json` again.
"""

"""Generator of the PTX of this folder: the texts are shipped, and a test compares the two.

`python -m ptx_blobs.generator` writes every kernel's text and `index.json` again.
"""

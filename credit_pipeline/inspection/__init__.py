"""Stage 4: from plans and quotas to the verifiable draw, its inspectors and what they found.

`plans` comes before the draw, `draws` says what is hashed and signed, `rounds` takes the steps and keeps them on file,
`teams` draws the inspectors, `outcomes` follows the visits. `verify_draw.py` belongs to nobody here: it checks a bundle
with the standard library alone.
"""

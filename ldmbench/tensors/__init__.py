"""Files of tensors: what is in them, which part is meant, and its values; nothing is executed.

`entries.open_weights` looks (no torch), `read.fetch` reads values into torch's own memory. Every
reader of weights goes this way. `numerics` makes torch compute float32 in float32.
"""

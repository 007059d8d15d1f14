"""Model and data of the smallest trainings, as their files write them."""

WORLD = """[model]
source = "tiny"
tokenizer = "generated"
[data]
source = "generated"
pool_size = 24
evaluation = 4
max_length = 12
clients = 2
"""

"""Privacy mechanisms for federated BERT, and the guarantees that follow from them."""

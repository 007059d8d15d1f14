"""FedBERT: split-federated pre-training and fine-tuning of BERT (Tian et al., ACM TIST 2022)."""

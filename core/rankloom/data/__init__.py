"""Tables, fields, ids, histories and the embedding cache."""

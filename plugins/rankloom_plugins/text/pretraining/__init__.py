"""``rankloom pretrain``: a text model learns from the catalog before any recommender is fitted."""

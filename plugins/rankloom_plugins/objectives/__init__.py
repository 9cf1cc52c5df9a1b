"""What gradient training minimises, and samplers of negatives."""

"""What the discrete codes of a trained model hold: maps, ablations, interventions."""

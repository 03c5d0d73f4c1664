"""What runs beside a model, in the models environment. Imports nothing of the portal."""
